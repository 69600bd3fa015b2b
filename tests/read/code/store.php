<?php
namespace App\Store;
abstract class Cache extends Base implements X {
  public static function evict(int $n): int { return 1; }
}
interface Shape { function area(); }
trait T { private function t() {} }
enum Suit: string { case A = 'a'; public function label(): string { return ''; } }
function helper($x) { return fn($y) => $y; }
