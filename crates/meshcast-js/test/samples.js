// One value of each kind, for what goes from process to process.

export function samples() {
  const cycle = { list: [1] };
  cycle.self = cycle;
  return [
    undefined,
    null,
    -0,
    2n ** 70n,
    "häß 😀 \ud800",
    [1, , 3],
    { a: { b: [] } },
    new Map([[{ key: 1 }, new Set(["x"])]]),
    new Date(1.7e12),
    /a+/gi,
    Object(7n),
    new RangeError("too far", { cause: "why" }),
    new DOMException("stopped", "AbortError"),
    Uint8Array.of(1, 2, 3),
    new Float64Array([1.5, NaN]),
    new DataView(new ArrayBuffer(4), 1, 2),
    Buffer.from("pooled"),
    new Blob(["of a blob"], { type: "text/x-note" }),
    new File(["of a file"], "name.txt", { type: "text/x-note", lastModified: 1.7e12 }),
    cycle,
    "x".repeat(300_000),
  ];
}
