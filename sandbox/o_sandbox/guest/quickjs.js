// The program that runs a JavaScript tool inside QuickJS. It reads its request from descriptor 0 and
// talks to the host over descriptor 3: each write is one message, each answer has its length before it.
import * as std from "qjs:std";
import * as os from "qjs:os";

const HOST = 3;
const LONGEST = 4096;
const { parse, stringify } = JSON;

function write(descriptor, text) {
  const signs = unescape(encodeURIComponent(text.toWellFormed()));
  const content = Uint8Array.from(signs, (sign) => sign.charCodeAt(0));
  os.write(descriptor, content.buffer, 0, content.length);
}

function read(descriptor) {
  const head = new DataView(taken(descriptor, 4).buffer);
  const content = taken(descriptor, head.getUint32(0, true));
  const signs = [];
  for (let at = 0; at < content.length; at += LONGEST)
    signs.push(String.fromCharCode.apply(null, content.subarray(at, at + LONGEST)));
  return parse(decodeURIComponent(escape(signs.join(""))));
}

function taken(descriptor, length) {
  const content = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const size = os.read(descriptor, content.buffer, at, length - at);
    if (size <= 0) throw new Error("the host hung up");
    at += size;
  }
  return content;
}

class HostError extends Error {
  get name() {
    return "HostError";
  }
}

function call(name, args = {}) {
  write(HOST, stringify({ call: String(name), arguments: args }));
  const answer = read(HOST);
  if ("error" in answer) throw new HostError(answer.error);
  return answer.ok;
}

function space(name) {
  const invoke = (args) => call(name, args);
  return new Proxy(invoke, {
    get: (_, part) => (typeof part === "string" && part !== "then" ? space(`${name}.${part}`) : undefined),
  });
}

function shown(values) {
  const one = (value) => (typeof value === "string" ? value : stringify(value) ?? String(value));
  return values.map(one).join(" ") + "\n";
}

function randomness(seed) {
  let [a, b, c, d] = [0, 8, 16, 24].map((at) => parseInt(seed.slice(at, at + 8), 16) | 0);
  return () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 4294967296;
  };
}

function furnish(seed) {
  const o = { call, HostError, sleep: (seconds) => call("o.sleep", { seconds }) };
  for (const name of ["agent", "archive", "http", "llm", "memory", "scratch", "secrets"]) o[name] = space(name);
  const log = (...values) => write(1, shown(values));
  const complain = (...values) => write(2, shown(values));
  globalThis.o = Object.freeze(o);
  globalThis.print = log;
  globalThis.console = { log, info: log, debug: log, warn: complain, error: complain };
  Math.random = randomness(seed);
}

function described(error) {
  const isError = error instanceof Error;
  const message = String(isError ? error.message : error);
  const isMemory = isError && error.name === "InternalError" && message === "out of memory";
  const type = isMemory ? "MemoryError" : isError ? String(error.name) : "Error";
  const stack = isError && typeof error.stack === "string" ? error.stack : "";
  const own = stack.split("\n").filter((line) => line.includes("<evalScript>"));
  const at = own.join("\n").replaceAll("<evalScript>", "tool.js");
  return { type, message, traceback: `${type}: ${message}\n${at}` };
}

async function reply() {
  const request = read(0);
  furnish(request.seed);
  std.evalScript(request.code);
  const known = std.evalScript(`typeof ${request.function} === "function" ? ${request.function} : null`);
  if (known === null) throw new ReferenceError(`the tool's code defines no function ${request.function}`);
  const value = await known(request.args);
  return stringify({ reply: { ok: value === undefined ? null : value } });
}

let text;
try {
  text = await reply();
} catch (error) {
  text = stringify({ reply: { error: described(error) } });
}
write(HOST, text);
