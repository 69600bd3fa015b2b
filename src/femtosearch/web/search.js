  const ROWS = 16, UNITS = 1 << 14, MOST_SCORE = 4096;  // rows of a block; see codes.py, fusion.py
  const FIRST = 12, AT_A_TIME = 4, SURE = 3;  // passages made exact first, and then; deviations that are not exceeded

  // The passages and their rows. Those in shorthand become exact when the model has encoded their passage.
  class Rows {
    constructor(bundle, model, index) {
      this.model = model;
      this.dims = model.dims;
      this.bits = index.bits;
      this.groups = Math.ceil(this.dims * this.bits / 32);
      this.starts = ends(bundle.array(index.lengths, Int32Array));  // of each passage, among the rows
      this.passages = this.starts.length - 1;
      this.approximate = index.again ? bundle.array(index.again, Uint8Array) : new Uint8Array(this.passages);
      this.waiting = this.approximate.reduce((sum, one) => sum + one, 0);
      this.learnt = this.squares = this.products = this.distances = 0;
      const count = this.starts[this.passages], padded = Math.ceil(count / ROWS) * ROWS;
      this.blocks = model.core.put(new Int32Array(padded * this.groups));
      this.scales = model.core.put(new Float32Array(padded));
      this.startsAt = model.core.put(this.starts);
      this.placeWhole(bundle.array(index.codes, Int32Array), bundle.array(index.scales, Float32Array));
      if (index.shorthand) this.placeShort(bundle, index.shorthand);
    }

    // The rows of passages that came as they are, from codes that lie a row after the other.
    placeWhole(codes, given) {
      const { groups } = this, count = this.starts[this.passages];
      const blocks = this.model.core.view(this.blocks, Math.ceil(count / ROWS) * ROWS * groups, Int32Array);
      const scales = this.model.core.view(this.scales, count, Float32Array);
      let from = 0;
      for (let n = 0; n < this.passages; ++n) {
        if (this.approximate[n]) continue;
        for (let row = this.starts[n]; row < this.starts[n + 1]; ++row, ++from) {
          const to = Math.floor(row / ROWS) * groups * ROWS + row % ROWS;
          for (let g = 0; g < groups; ++g) blocks[to + g * ROWS] = codes[from * groups + g];
          scales[row] = given[from];
        }
      }
    }

    // The others, from centres and books: see shorthand.py.
    placeShort(bundle, [first, second, third, fourth]) {
      const half = (number) => Float32Array.from(bundle.array(number, Uint16Array), fromHalf);
      const centres = half(first), books = half(second), chosen = bundle.array(third, Uint16Array);
      const codes = bundle.array(fourth, Uint8Array), { dims } = this, parts = Math.ceil(dims / 8);
      for (let n = 0, from = 0; n < this.passages; ++n) {
        if (!this.approximate[n]) continue;
        const count = this.starts[n + 1] - this.starts[n], rows = new Float32Array(count * dims);
        for (let row = 0; row < count; ++row, ++from) {
          for (let d = 0; d < dims; ++d) {
            const entry = (d >> 3) * 256 + codes[from * parts + (d >> 3)];
            rows[row * dims + d] = centres[chosen[from] * dims + d] + books[entry * 8 + (d & 7)];
          }
        }
        this.put(n, rows);
      }
    }

    put(n, rows) {
      this.model.core.lend([rows], (at) => this.model.core.calls.quantise(at, rows.length / this.dims, this.dims,
        this.bits, this.starts[n], this.blocks, this.scales));
    }

    makeExact(n, text) {
      const rows = this.model.passageRows(text);
      if (rows.length === (this.starts[n + 1] - this.starts[n]) * this.dims) this.put(n, rows);
      this.approximate[n] = 0;
      this.waiting -= 1;
    }

    // What shorthand does to scores, as those show that were made exact. variance: of a score, for each row of a query.
    // stretch: how much farther from a query's mean the exact ones lie.
    get variance() { return this.learnt ? this.squares / this.learnt : 0; }
    get stretch() { return this.distances ? this.products / this.distances : 1; }
    learn(exact, score, mean, rows) {
      this.learnt += 1, this.squares += (exact - score) ** 2 / rows;
      this.products += (exact - mean) * (score - mean), this.distances += (score - mean) ** 2;
    }

    // MaxSim of a query's rows with passages from one on.
    scores(rows, first = 0, count = this.passages) {
      const { core } = this.model;
      return core.lend([rows, new Float32Array(count)], (query, out) => {
        core.calls.score(query, rows.length / this.dims, this.dims, this.bits, this.blocks, this.scales, this.startsAt + 4 * first,
          count, out);
        return core.view(out, count, Float32Array).slice();
      });
    }
  }

  class Engine {
    constructor(bundle, core) {
      const { index } = bundle.header;
      this.model = new Model(bundle, core);
      this.rows = new Rows(bundle, this.model, index);
      this.penalty = index.penalty;
      this.documents = bundle.json(index.documents);
      this.spans = bundle.array(index.spans, Int32Array);
      this.first = ends(bundle.array(index.counts, Int32Array));  // of each document, among the passages
      this.next = 0;  // of the passages that `settle` goes through
      this.owners = new Int32Array(this.rows.passages);
      this.first.slice(1).forEach((end, n) => this.owners.fill(n, this.first[n], end));
    }

    // The k best documents by their best passage; of equals the smaller id first.
    search(text, k = 10) {
      let last;
      for (const answer of this.steps(text, k)) last = answer;
      return last;
    }

    // The same, better and better: {hits, pieces, exact}. pieces: of the query, 0 where the model knows no word of it.
    // exact: whether every passage's rows are what the index has; only those that may be among the hits are made so.
    *steps(text, k = 10) {
      const asked = new Asked(this, this.model.pieces(folded(text)));
      for (let some = FIRST; ; some = AT_A_TIME) {
        yield { hits: asked.best(k), pieces: asked.rows.length, exact: this.waiting === 0 };
        const doubtful = asked.doubtful(k, some);
        if (!doubtful.length) return;
        doubtful.forEach((n) => asked.makeExact(n));
      }
    }

    // How many passages are not exact.
    get waiting() { return this.rows.waiting; }

    // Makes so many more passages exact, for all that is asked later.
    settle(count = this.waiting) {
      for (; count > 0 && this.waiting; this.next += 1) {
        if (this.rows.approximate[this.next]) this.rows.makeExact(this.next, this.passage(this.next)), count -= 1;
      }
    }

    passage(n) { return this.documents[this.owners[n]][3].slice(this.spans[2 * n], this.spans[2 * n + 1]); }

    hit(document, passage, score) {
      const [id, title, url, text] = this.documents[document];
      const [start, end] = this.spans.subarray(2 * passage, 2 * passage + 2);
      return { id, title, url, score, start, end, text, passage: text.slice(start, end) };
    }
  }

  // A query and what its pieces give each passage.
  class Asked {
    constructor(engine, pieces) {
      this.engine = engine;
      this.rows = pieces.map((piece) => engine.model.queryRows(piece)).filter((rows) => rows.length);
      this.scores = this.rows.map((rows) => engine.rows.scores(rows));
      this.means = this.scores.map(mean);
    }

    makeExact(n) {
      const { rows } = this.engine;
      rows.makeExact(n, this.engine.passage(n));
      this.rows.forEach((piece, i) => {
        const [score] = rows.scores(piece, n, 1);
        rows.learn(score, this.scores[i][n], this.means[i], piece.length);
        this.scores[i][n] = score;
      });
    }

    // The sum of the standard deviations of the pieces' scores: see fusion.py.
    luck() {
      const { approximate, stretch, waiting } = this.engine.rows;
      const exact = (scores, middle) => waiting === 0 ? scores
        : scores.map((score, n) => approximate[n] ? middle + stretch * (score - middle) : score);
      return this.scores.reduce((sum, scores, i) => sum + spread(exact(scores, this.means[i])), 0);
    }

    // [document, score] of all, best first. margins: of each piece, what a passage that is not exact may gain.
    ranking(margins) {
      const { first, penalty, rows } = this.engine, ranked = [];
      const luck = this.luck();
      for (let n = 0; n < first.length - 1 && this.rows.length; ++n) {
        const [begin, end] = [first[n], first[n + 1]];
        let score = 0;
        this.scores.forEach((scores, i) => {
          let most = -Infinity;
          for (let p = begin; p < end; ++p) most = Math.max(most, scores[p] + margins[i] * rows.approximate[p]);
          score = Math.fround(score + most);
        });
        if (begin < end && score > -Infinity) {
          ranked.push([n, Math.fround(score - penalty * luck * Math.sqrt(2 * Math.log(end - begin)))]);
        }
      }
      return ranked.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    }

    best(k) {
      const none = this.rows.map(() => 0);
      return this.ranking(none).slice(0, k).map(([n, score]) => this.engine.hit(n, this.bestOf(n), score));
    }

    bestOf(document) {
      const { first } = this.engine;
      let best = first[document], most = -Infinity;
      for (let p = best; p < first[document + 1]; ++p) {
        const sum = this.scores.reduce((total, scores) => Math.fround(total + scores[p]), 0);
        if (sum > most) [best, most] = [p, sum];
      }
      return best;
    }

    // At most so many passages that are not exact, and of which one may bring its document among the k best.
    doubtful(k, most) {
      const { first, rows } = this.engine;
      if (!rows.waiting || !this.rows.length) return [];
      const margins = this.rows.map((piece) => SURE * Math.sqrt(rows.variance * piece.length)), doubtful = [];
      for (const [document] of this.ranking(margins).slice(0, k)) {
        const bests = this.scores.map((scores) => scores.subarray(first[document], first[document + 1])
          .reduce((best, score, p) => rows.approximate[first[document] + p] ? best : Math.max(best, score), -Infinity));
        for (let p = first[document]; p < first[document + 1]; ++p) {
          if (!rows.approximate[p]) continue;
          const gain = Math.max(...this.scores.map((scores, i) => scores[p] + margins[i] - bests[i]));
          if (gain > 0) doubtful.push([p, gain]);
        }
      }
      return doubtful.slice(0, most).map(([p]) => p);
    }
  }

  function mean(scores) {
    const finite = scores.filter((score) => score > -Infinity);
    return finite.reduce((sum, score) => sum + score, 0) / Math.max(1, finite.length);
  }

  // [0, lengths[0], lengths[0] + lengths[1], ...]
  function ends(lengths) {
    const starts = new Int32Array(lengths.length + 1);
    lengths.forEach((length, n) => { starts[n + 1] = starts[n] + length; });
    return starts;
  }

  // The standard deviation of scores, of whole numbers of 16,384ths: see fusion.py.
  function spread(scores) {
    const nearest = (x) => (x + 6755399441055744) - 6755399441055744;
    let count = 0, total = 0n, squares = 0n;
    for (const score of scores) {
      if (score === -Infinity) continue;
      const units = BigInt(nearest(Math.max(-MOST_SCORE, Math.min(score, MOST_SCORE)) * UNITS));
      count += 1, total += units, squares += units * units;
    }
    if (!count) return 0;
    return Math.sqrt(Number(BigInt(count) * squares - total * total) / count ** 2) / UNITS;
  }

  async function open(buffer) {
    const bundle = new Bundle(await inflated(buffer));
    const { instance } = await WebAssembly.instantiate(bundle.bytes(bundle.header.core));
    instance.exports._initialize();
    return new Engine(bundle, new Core(instance));
  }

  return { open };
})();

if (typeof module !== "undefined") module.exports = FemtoSearch;
