const std = @import("std");
pub const Cache = struct { n: u32, pub fn evict(self: *Cache) void { } };
fn main() !void { }
test "adds" { }
const E = enum { a };
