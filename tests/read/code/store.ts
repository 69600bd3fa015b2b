export interface Shape { area(): number; }
export type Id = string | number;
enum Color { Red }
namespace Geo { export function dist(a: number): number { return a; } }
abstract class Box<T> implements Shape {
  @log()
  public async area(): Promise<number> { return 1; }
  constructor(private readonly w: number) { super(); }
}
declare function outside(x: number): void;
export const pick = <T,>(x: T): T => x;
