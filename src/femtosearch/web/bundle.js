// A search over the file that `femtosearch export --web` wrote. Nothing leaves the page.
//
//   const engine = await FemtoSearch.open(await (await fetch("search.bin")).arrayBuffer());
//   const { hits } = engine.search("a small cat", 10);  // [{id, title, url, score, passage, start, end, text}]
//
// It computes, number for number, what `index.search(query, mode="maxsim", hybrid=0)` does. The kernels are the
// package's C++ (native/web/web.cc), and shapes those of its Python.
"use strict";

const FemtoSearch = (() => {
  async function inflated(buffer) {
    const bytes = new Uint8Array(buffer);
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;  // the server has done it
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // The parts of a bundle by their numbers; see bundle.py.
  class Bundle {
    constructor(bytes) {
      const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
      this.header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
      if (this.header.version !== 1) throw new Error(`expected a search of version 1, found ${this.header.version}`);
      this.body = bytes.subarray(8 + size);
    }
    bytes(number) {
      const [offset, length] = this.header.parts[number];
      return this.body.subarray(offset, offset + length);
    }
    array(number, Type) {
      const bytes = this.bytes(number);
      return new Type(bytes.slice().buffer);
    }
    json(number) { return JSON.parse(new TextDecoder().decode(this.bytes(number))); }
  }

  function fromHalf(bits) {
    const exponent = bits >> 10 & 31, fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  // Weights as floats: see model.py for the kinds.
  function unpack(bundle, [kind, size, first, second, shape], out) {
    if (kind === "float") out.set(bundle.array(first, Float32Array));
    if (kind === "half") out.set(Float32Array.from(bundle.array(first, Uint16Array), fromHalf));
    if (kind === "zeros") out.fill(0);
    if (kind === "int8") {
      const codes = bundle.array(first, Int8Array), scales = new Float32Array(second[1]);
      unpack(bundle, second, scales);
      const width = size / scales.length;
      for (let i = 0; i < size; ++i) out[i] = codes[i] * scales[Math.floor(i / width)];
    }
    if (kind === "table") {
      const codes = bundle.array(first, Uint8Array), books = new Float32Array(second[1]);
      unpack(bundle, second, books);
      const [parts, entries, width] = shape;
      for (let i = 0; i < codes.length; ++i) {
        const at = ((i % parts) * entries + codes[i]) * width;
        out.set(books.subarray(at, at + width), i * width);
      }
    }
  }

