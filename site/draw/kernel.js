// The one thing that has to be fast: C = A B + bias. Every convolution of the network is such a product (layers.js).
//
// Written twice: in plain JavaScript, and as WebAssembly that handles four numbers at once, whose 400 bytes are put together below.
// A browser that has no such instructions, or a page that forbids WebAssembly, gets the plain one; both give the same picture.
//
// A is (n x k), row after row. B is (k x m), packed by `pack` into panels of 8 columns: a panel is read from front to back.
// n is a multiple of 4 and m of 8: whoever makes the arrays rounds up.

export const up = (n, to) => Math.ceil(n / to) * to;

// B[i * m + j] as panels, packed[(j / 8) * k * 8 + i * 8 + j % 8]; columns beyond m are 0.
export function pack(B, k, m, packed) {
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < m; j++) packed[(j >> 3) * k * 8 + i * 8 + (j & 7)] = B[i * m + j];
  }
  return packed;
}

// Where the arrays live, and who multiplies them: { name, floats(n), matmul(A, B, bias, C, n, k, m), products }, the last of which
// counts the multiplications.
export function kernel(megabytes = 16) {
  try {
    return fast(megabytes);
  } catch {
    return plain();
  }
}

export function plain() {
  return counting("JavaScript", (n) => new Float32Array(n), matmul);
}

function counting(name, floats, matmul) {
  const made = { name, floats, products: 0 };
  made.matmul = (A, B, bias, C, n, k, m) => {
    made.products += n * k * m;
    matmul(A, B, bias, C, n, k, m);
  };
  return made;
}

function matmul(A, B, bias, C, n, k, m) {
  for (let j = 0; j < m; j += 4) {
    const panel = (j >> 3) * k * 8 + (j & 4);
    for (let i = 0; i < n; i++) {
      let sum0 = bias[j];
      let sum1 = bias[j + 1];
      let sum2 = bias[j + 2];
      let sum3 = bias[j + 3];
      const row = i * k;
      for (let l = 0, b = panel; l < k; l++, b += 8) {
        const a = A[row + l];
        sum0 += a * B[b];
        sum1 += a * B[b + 1];
        sum2 += a * B[b + 2];
        sum3 += a * B[b + 3];
      }
      const c = i * m + j;
      C[c] = sum0;
      C[c + 1] = sum1;
      C[c + 2] = sum2;
      C[c + 3] = sum3;
    }
  }
}

// All arrays in one memory, handed out from front to back and never given back.
function fast(megabytes) {
  const memory = new WebAssembly.Memory({ initial: megabytes * 16 }); // pages of 64 kB
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes()), { "": { memory } });
  let used = 0;
  const floats = (n) => {
    const made = new Float32Array(memory.buffer, used, n);
    used = up(used + 4 * n, 16);
    return made;
  };
  return counting("WebAssembly", floats, (A, B, bias, C, n, k, m) =>
    instance.exports.matmul(A.byteOffset, B.byteOffset, bias.byteOffset, C.byteOffset, n, k, m));
}

// The same loops by hand: 4 rows times 8 columns stay in registers while k goes by, two steps of it a round (k is even).
function bytes() {
  const [A, B, bias, C, n, k, m, a, b, c, i, end, rowA, rowC] = Array(14).keys();
  const rows = [14, 15, 16, 17]; // where the four rows of A are read
  const left = [18, 19, 20, 21]; // sums of columns 0 to 3, one for each row
  const right = [22, 23, 24, 25]; // and of columns 4 to 7
  const [low, high, one] = [26, 27, 28];
  const get = (x) => [0x20, x];
  const set = (x, ...value) => [...value.flat(), 0x21, x];
  const number = (x) => [0x41, ...leb(x, true)];
  const [ADD, SUB, SHIFT, LESS] = [0x6a, 0x6b, 0x74, 0x49];
  const add = (x, y) => [...get(x), ...y, ADD];
  const [LOAD, SPLAT, STORE] = [0x00, 0x09, 0x0b];
  const simd = (op, offset) => [0xfd, op, 2, ...leb(offset)];
  const load = (x, offset) => [...get(x), ...simd(LOAD, offset)];
  const loop = (until, ...body) => [0x03, 0x40, ...body.flat(), ...until, 0x0d, 0, 0x0b];
  const more = (sum, x, y) => set(sum, get(sum), get(x), get(y), [0xfd, 0xe6, 1], [0xfd, 0xe4, 1]); // sum += x y

  const step = (s) => [
    ...set(low, load(b, 32 * s)),
    ...set(high, load(b, 32 * s + 16)),
    ...rows.flatMap((row, r) => [
      ...set(one, get(row), simd(SPLAT, 4 * s)),
      ...more(left[r], one, low),
      ...more(right[r], one, high),
    ]),
  ];
  const code = [
    ...set(rowA, get(k), number(2), [SHIFT]),
    ...set(rowC, get(m), number(2), [SHIFT]),
    ...loop(
      get(m),
      ...[set(a, get(A)), set(c, get(C)), set(i, get(n))],
      loop(
        get(i),
        ...rows.flatMap((_, r) => [set(left[r], load(bias, 0)), set(right[r], load(bias, 16))]),
        ...rows.map((row, r) => set(row, r ? add(rows[r - 1], get(rowA)) : get(a))),
        ...[set(b, get(B)), set(end, add(a, get(rowA)))],
        loop(
          [...get(rows[0]), ...get(end), LESS],
          ...[step(0), step(1)],
          ...rows.map((row) => set(row, add(row, number(8)))),
          set(b, add(b, number(64))),
        ),
        ...rows.flatMap((_, r) => [
          [...get(c), ...get(left[r]), ...simd(STORE, 0)],
          [...get(c), ...get(right[r]), ...simd(STORE, 16)],
          set(c, add(c, get(rowC))),
        ]),
        set(a, get(rows[3])), // it has come to the row after the four
        set(i, get(i), number(4), [SUB]),
      ),
      set(B, get(b)), // and this to the next panel
      ...[set(bias, add(bias, number(32))), set(C, add(C, number(32)))],
      set(m, get(m), number(8), [SUB]),
    ),
    0x0b,
  ];
  const [i32, v128] = [0x7f, 0x7b];
  const body = [2, 11, i32, 11, v128, ...code]; // locals: 7 to 17 and 18 to 28
  const section = (id, ...content) => [id, ...leb(content.length), ...content];
  const name = (text) => [text.length, ...new TextEncoder().encode(text)];
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 7, ...Array(7).fill(i32), 0), // one type: seven whole numbers in, nothing out
    ...section(2, 1, ...name(""), ...name("memory"), 2, 0, 1),
    ...section(3, 1, 0),
    ...section(7, 1, ...name("matmul"), 0, 0),
    ...section(10, 1, ...leb(body.length), ...body),
  ]);
}

// A whole number as WebAssembly writes it, seven bits a byte; a signed one keeps the seventh free.
function leb(x, signed = false) {
  const out = [];
  while (x >= (signed ? 64 : 128)) {
    out.push((x & 127) | 128);
    x >>= 7;
  }
  return [...out, x];
}
