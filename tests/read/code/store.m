#import <A.h>
@interface Cache : NSObject <P>
- (int)evict:(int)n with:(id)x;
@end
@implementation Cache
- (int)evict:(int)n with:(id)x { return 1; }
+ (instancetype)make { return nil; }
@end
@protocol P
- (void)go;
@end
int main(void) { return 0; }
