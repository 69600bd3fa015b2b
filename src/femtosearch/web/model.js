  const LETTERS = { "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st",
    "\ufb06": "st" };
  const SENTENCE_ENDS = /[.!?\n\u3002\uff01\uff1f]/;

  // What typesetting does to letters, undone.
  const folded = (text) => text
    .replace(/\x1b\[[0-9;?]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[^\n]\x08/gu, "")
    .replace(/[\ufb00-\ufb06]/g, (letter) => LETTERS[letter])
    .replace(/[\uff01-\uff5e]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) - 0xfee0))
    .replace(/\xad[ \t]*\r?\n[ \t]*/g, "")
    .replace(/(?<!\p{L})(\p{L}{2,})[-\u2010\u2011][ \t]*\r?\n[ \t]*(\p{L}{2,})/gu, "$& $1$2 ");

  // Functions and memory of the WebAssembly module. Memory may move whenever it grows: views are made anew.
  class Core {
    constructor(instance) { this.calls = instance.exports; }
    view(at, count, Type) { return new Type(this.calls.memory.buffer, at, count); }
    reserve(bytes) {
      const at = this.calls.reserve(Math.max(bytes, 1));
      if (!at) throw new Error("this device has not enough memory for the search");
      return at;
    }
    put(array) {
      const at = this.reserve(array.byteLength);
      this.view(at, array.length, array.constructor).set(array);
      return at;
    }
    // What work(...pointers) returns, of copies of arrays that go afterwards.
    lend(arrays, work) {
      const places = arrays.map((array) => this.put(array));
      try { return work(...places); } finally { places.forEach((at) => this.calls.release(at)); }
    }
  }

  // The tokenizer and the encoder of an index.
  class Model {
    constructor(bundle, core) {
      const { model } = bundle.header;
      this.core = core;
      this.dims = model.dims;
      this.queries = { ...model.queries, skipped: new Set(model.queries.skipped) };
      this.documents = { ...model.documents, skipped: new Set(model.documents.skipped) };
      this.unasked = new Set(model.queries.unasked);
      this.weights = model.query_weights;
      this.setTokenizer(bundle, model.tokenizer);
      this.setEncoder(bundle, model);
    }

    setTokenizer(bundle, { vocabulary, tokens, prefix, added, settings, around }) {
      const text = new TextEncoder();
      const parts = [bundle.bytes(vocabulary), text.encode(prefix + "\0"), text.encode([...added, ""].join("\0")),
        Int32Array.from(settings), Int32Array.from(around)];
      this.core.lend(parts, (vocab, start, whole, numbers, ids) =>
        this.core.calls.set_tokenizer(vocab, tokens, start, whole, numbers, ids));
    }

    setEncoder(bundle, { sizes, epsilon, weights }) {
      const total = weights.reduce((sum, [, size]) => sum + size, 0), at = this.core.reserve(4 * total);
      let offset = at;
      for (const part of weights) {
        unpack(bundle, part, this.core.view(offset, part[1], Float32Array));
        offset += 4 * part[1];
      }
      this.core.lend([Int32Array.from(sizes)], (numbers) => this.core.calls.set_encoder(numbers, epsilon, at));
      this.core.calls.release(at);
    }

    // {ids, begins, ends, words}: tokens with those round the text; places in characters, of which words are -1.
    tokenise(text) {
      return this.core.lend([new TextEncoder().encode(text + " ")], (at) => {
        const count = this.core.calls.tokenise(at, new TextEncoder().encode(text).length);
        const [ids, begins, ends, words] = [0, 1, 2, 3].map((what) =>
          this.core.view(this.core.calls.tokens_of(what), count, Int32Array).slice());
        return { ids, begins, ends, words };
      });
    }

    // The token ids of a query's pieces, with those round each.
    pieces(text) {
      const { length, prefix, pieces, drops } = this.queries;
      const tokens = this.tokenise(this.queries.text + text), last = tokens.ids.length - 1;
      if (pieces < 2 && !drops) return [tokens.ids];
      const asked = [...tokens.ids.keys()].filter((n) => n === 0 || n === last || !this.unasked.has(tokens.ids[n]));
      if (asked.length === 2 && drops) return [];
      const only = (array) => Int32Array.from(asked, (n) => array[n]);
      const left = { ids: only(tokens.ids), begins: only(tokens.begins), ends: only(tokens.ends), words: only(tokens.words) };
      const room = length - prefix.length;
      return asked.length <= room || pieces < 2 ? [left.ids] : divided(left, text, room - 2).slice(0, pieces);
    }

    // Rows [t, dims] of a query's piece, as long as they weigh.
    queryRows(piece) {
      const { mask, expanded, attends } = this.queries, ids = begun(piece, this.queries);
      let attended = ids.length;
      if (mask >= 0) while (ids.length < expanded) ids.push(mask);
      if (attends) attended = ids.length;
      const rows = this.encode(ids, attended, this.queries.skipped);
      if (this.weights) weigh(rows, this.dims, this.weights);
      return rows;
    }

    // The rows that an index has of a passage.
    passageRows(text) {
      const { skipped, framing, prune_above: most } = this.documents;
      const ids = begun(this.tokenise(this.documents.text + folded(text)).ids, this.documents);
      const rows = this.encode(ids, ids.length, skipped), dims = this.dims, count = rows.length / dims;
      if (most >= 1) return rows;
      const kept = this.core.lend([rows, new Uint8Array(count)], (at, keep) => {
        this.core.calls.distinct(at, count, dims, most, framing[0], framing[1], keep);
        const flags = this.core.view(keep, count, Uint8Array);
        return [...flags.keys()].filter((n) => flags[n]);
      });
      const left = new Float32Array(kept.length * dims);
      kept.forEach((n, to) => left.set(rows.subarray(n * dims, (n + 1) * dims), to * dims));
      return left;
    }

    encode(ids, attended, skipped) {
      const keep = Uint8Array.from(ids, (id) => Number(!skipped.has(id)));
      const count = keep.reduce((sum, one) => sum + one, 0), out = new Float32Array(count * this.dims);
      return this.core.lend([Int32Array.from(ids), keep, out], (at, keepAt, rows) => {
        this.core.calls.encode(at, ids.length, attended, keepAt, rows);
        return this.core.view(rows, out.length, Float32Array).slice();
      });
    }
  }

  // Gives unit rows the lengths that a small network says, whose mean is 1: see weighting.py.
  function weigh(rows, dims, { inner, inner_bias, outer: [outer], outer_bias: [bias], first: [first] }) {
    const count = rows.length / dims, dot = (weights, row) => weights.reduce((sum, w, d) => sum + w * row[d], 0);
    const weights = Array.from({ length: count }, (_, n) => {
      const row = rows.subarray(n * dims, (n + 1) * dims);
      return Math.log1p(Math.exp(bias + dot(outer, inner.map((w, h) => Math.max(0, inner_bias[h] + dot(w, row))))));
    });
    if (count) weights[0] *= first;
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / count;
    for (let i = 0; i < rows.length; ++i) rows[i] *= weights[Math.floor(i / dims)] / mean;
  }

  // Ids cut to the length of a side, with its prefix.
  function begun(ids, { length, prefix }) {
    const whole = [ids[0], ...prefix, ...ids.subarray(1, Math.min(ids.length, length - prefix.length))];
    whole[whole.length - 1] = ids[ids.length - 1];
    return whole;
  }

  // Pieces of a text that has more than `room` tokens: see pieces.py.
  function divided({ ids, begins, ends, words }, text, room) {
    const letters = Array.from(text), last = ids.length - 1, cut = [];
    for (let at = 1; at < last;) {
      let stop = last;
      if (last - at > room) {
        const target = at + Math.floor((last - at) / Math.ceil((last - at) / room));
        const first = at + Math.max(1, Math.floor((target - at) / 2));
        const nearest = Array.from({ length: at + room + 1 - first }, (_, n) => first + n)
          .sort((a, b) => Math.abs(a - target) - Math.abs(b - target) || a - b);
        const between = nearest.filter((token) => words[token - 1] !== words[token]);
        const spaced = between.filter((token) => ends[token - 1] < begins[token]);
        const ending = spaced.find((token) => SENTENCE_ENDS.test(letters.slice(ends[token - 1] - 1, begins[token]).join("")));
        stop = ending ?? spaced[0] ?? between[0] ?? target;
      }
      cut.push(Int32Array.from([ids[0], ...ids.subarray(at, stop), ids[last]]));
      at = stop;
    }
    return cut;
  }

