package My::Cache;
use strict;
# evicts
sub evict { my ($x) = @_; return 1; }
package Other { sub inner { 1 } }
