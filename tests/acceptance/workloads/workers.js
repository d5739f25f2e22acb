// Threads with shared memory, WebAssembly compiled on the spot, regular expressions, big integers, garbage: what
// V8 generates code for. All that is printed is the same on every machine.
"use strict";
const { Worker, isMainThread, workerData } = require("worker_threads");
const crypto = require("crypto");

// (module (func (export "f") (param i32) (result i32) local.get 0, i32.const 1664525, i32.mul, i32.const 1013904223, i32.add))
const wasm = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0,
  10, 19, 1, 17, 0, 32, 0, 65, 141, 204, 229, 0, 108, 65, 223, 230, 187, 227, 3, 106, 11,
]);

function work(shared, rounds) {
  const words = new Int32Array(shared);
  const next = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports.f;
  let x = 1;
  for (let i = 0; i < rounds; ++i) {
    x = next(x);
    Atomics.add(words, 0, 1);
    Atomics.xor(words, 1, x);
    Atomics.xor(words, 1, x);
    // A lock of one word around two plain ones.
    while (Atomics.compareExchange(words, 2, 0, 1) !== 0) Atomics.wait(words, 2, 1, 1);
    words[3] += 1;
    words[4] -= 1;
    Atomics.store(words, 2, 0);
    Atomics.notify(words, 2, 1);
  }
  return x;
}

if (!isMainThread) {
  const x = work(workerData.shared, workerData.rounds);
  Atomics.add(new Int32Array(workerData.shared), 5, x);
} else {
  const print = (name, value) => console.log(`${name}: ${value}`);
  const hash = (text) => crypto.createHash("sha256").update(text).digest("hex").slice(0, 16);

  const primes = [];
  for (let i = 2; primes.length < 5000; ++i) if (primes.every((p) => p * p > i || i % p)) primes.push(i);
  print("primes", hash(primes.join()));

  let factorial = 1n;
  for (let i = 1n; i <= 1500n; ++i) factorial *= i;
  print("factorial", hash(String(factorial)));

  let sum = 0;
  for (let i = 1; i < 3e6; ++i) sum += Math.sin(i) / i + Math.sqrt(i) % 1;
  print("floating point", sum.toFixed(6));

  // Functions made at run time, each run until it is optimized, then with operands of another type.
  let made = 0;
  for (let i = 0; i < 200; ++i) {
    const f = new Function("a", "b", `let s = 0; for (let k = 0; k < 2000; ++k) s = (s * ${i} + a + k) | 0; return s + b;`);
    made = (made * 31 + f(i, 1) + f(i, 2) + String(f(i, "x")).length) | 0;
  }
  print("made functions", made);

  class Shape { area() { return 0; } }
  const classes = Array.from({ length: 12 }, (_, i) => ({ [`C${i}`]: class extends Shape { area() { return i * 2 + 1; } } })[`C${i}`]);
  let area = 0;
  for (let i = 0; i < 1e6; ++i) area += new classes[(i * 7) % 12]().area();
  print("classes", area);

  let text = "";
  for (let i = 0; i < 20000; ++i) text += `key${i % 977}=value-${(i * 7919) % 10007}; `;
  const counts = new Map();
  for (const m of text.matchAll(/(?<key>key\d+)=(?:value-(\d+)); /g)) counts.set(m.groups.key, (counts.get(m.groups.key) || 0) + Number(m[2]));
  print("matches", hash(JSON.stringify([...counts].sort())));
  print("parsed", hash(JSON.stringify(JSON.parse(JSON.stringify({ text, primes })))));

  let thrown = 0;
  for (let i = 0; i < 20000; ++i) {
    try {
      if (i % 3) null.missing;
      thrown += 1;
    } catch (error) {
      thrown += error instanceof TypeError ? 2 : 1000;
    }
  }
  print("thrown", thrown);

  const shared = new SharedArrayBuffer(64), rounds = 20000, count = 4;
  const ended = Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: { shared, rounds } });
    worker.on("error", reject);
    worker.on("exit", resolve);
  }));
  Promise.all(ended).then((statuses) => {
    const words = new Int32Array(shared);
    print("workers", [...words.slice(0, 6), ...statuses].join(" "));
    if (words[0] !== rounds * count || words[3] !== rounds * count || words[1] !== 0) process.exitCode = 1;
  });
}
