// %% open-file
// Opens the canary by the standard module.
async function attack({ t }) {
  const std = await import("qjs:std")
  const file = std.open(t.file, "r")
  return file ? file.readAsString() : 1
}

// %% load-file
// Loads the canary as a text.
async function attack({ t }) {
  const std = await import("qjs:std")
  return std.loadFile(t.file)
}

// %% write-file
// Makes the marker.
async function attack({ t }) {
  const std = await import("qjs:std")
  const file = std.open(t.marker, "w")
  file.puts("x")
  file.close()
}

// %% temporary-file
// Makes a file without a name.
async function attack({ t }) {
  const std = await import("qjs:std")
  const file = std.tmpfile()
  return file ? t.claim : 1
}

// %% descriptor-file
// Opens the canary by a descriptor.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.open(t.file, os.O_RDONLY) >= 0 ? t.claim : 1
}

// %% list-folder
// Lists the folder of the canary.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.readdir(t.folder)[0].length ? t.claim : 1
}

// %% stat-file
// Learns the size of the canary.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.stat(t.file)[1] === 0 ? t.claim : 1
}

// %% make-folder
// Makes a folder in JavaScript.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.mkdir(t.marker) === 0 ? t.claim : 1
}

// %% remove-file
// Removes the canary.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.remove(t.file) === 0 ? t.claim : 1
}

// %% rename-file
// Renames the canary.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.rename(t.file, t.marker) === 0 ? t.claim : 1
}

// %% change-folder
// Changes its working folder.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.chdir(t.folder) === 0 ? t.claim : 1
}

// %% run-program
// Runs a program.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.exec(["/bin/sh", "-c", "echo > " + t.marker]) === 0 ? t.claim : 1
}

// %% open-pipe-to-program
// Runs a shell with a pipe to it.
async function attack({ t }) {
  const std = await import("qjs:std")
  const pipe = std.popen("echo > " + t.marker, "r")
  return pipe ? t.claim : 1
}

// %% kill-process
// Signals process one.
async function attack({ t }) {
  const os = await import("qjs:os")
  return os.kill(1, 0) === 0 ? t.claim : 1
}

// %% read-variable
// Reads the canary variable.
async function attack({ t }) {
  const std = await import("qjs:std")
  return std.getenv(t.variable) ?? 1
}

// %% read-environment
// Reads the whole environment.
async function attack({ t }) {
  const std = await import("qjs:std")
  return std.getenviron()
}

// %% fetch-address
// Fetches an address of the host.
async function attack({ t }) {
  const std = await import("qjs:std")
  return std.urlGet(`http://127.0.0.1:${t.port}/`)
}

// %% import-file
// Imports the canary as a module.
async function attack({ t }) {
  return Object.keys(await import(t.file)).length + t.claim
}

// %% import-json
// Imports the canary as JSON.
async function attack({ t }) {
  return (await import(t.file, { with: { type: "json" } })).default
}

// %% start-worker
// Starts a worker thread.
async function attack({ t }) {
  const os = await import("qjs:os")
  new os.Worker(t.file)
  return t.claim
}

// %% sleep
// Sleeps for an hour.
async function attack({ t }) {
  const os = await import("qjs:os")
  os.sleep(3600000)
}

// %% timer
// Waits for a timer of an hour.
async function attack({ t }) {
  const os = await import("qjs:os")
  await new Promise((done) => os.setTimeout(done, 3600000))
}

// %% promise-never-kept
// Waits for a promise that nobody keeps.
async function attack({ t }) {
  await new Promise(() => {})
}

// %% atomics-wait
// Waits for a shared number to change.
async function attack({ t }) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3600000)
}

// %% spin
// Loops for ever in JavaScript.
async function attack({ t }) {
  for (;;);
}

// %% spin-at-top
// Loops for ever before it is called.
for (;;);
async function attack({ t }) {
  return 1
}

// %% spin-in-microtasks
// Puts off its end by one task after the other.
async function attack({ t }) {
  const again = () => Promise.resolve().then(again)
  await again()
}

// %% spin-in-getter
// Loops in a getter of its value.
async function attack({ t }) {
  return { get value() { for (;;); } }
}

// %% spin-in-json
// Loops in what JSON asks a value for.
async function attack({ t }) {
  return { toJSON() { for (;;); } }
}

// %% spin-in-proxy
// Loops in a trap of a proxy that it returns.
async function attack({ t }) {
  return new Proxy({}, { ownKeys() { for (;;); } })
}

// %% spin-in-finally
// Goes on in a finally clause in JavaScript.
async function attack({ t }) {
  try { return 1 } finally { for (;;); }
}

// %% regular-expression
// Backtracks exponentially.
async function attack({ t }) {
  return /^(a+)+$/.test("a".repeat(40) + "b")
}

// %% big-power
// Raises a large integer to a power.
async function attack({ t }) {
  return String((3n ** 2000000n) ** 40n).length
}

// %% sort-without-end
// Sorts by a comparison that calls itself.
async function attack({ t }) {
  const later = () => [3, 2, 1].sort(later)
  return later()
}

// %% generator-without-end
// Spreads a generator that never ends.
async function attack({ t }) {
  function* g() { for (;;) yield 1 }
  return [...g()].length
}

// %% recursion
// Recurses without an end in JavaScript.
async function attack({ t }) {
  const deep = (n) => deep(n + 1) + 1
  return deep(0)
}

// %% recursion-in-json
// Turns a value to JSON whose conversion does the same.
async function attack({ t }) {
  const value = { toJSON() { return JSON.stringify(value) } }
  return value
}

// %% recursion-in-expression
// Nests groups of a regular expression without end.
async function attack({ t }) {
  return new RegExp("(".repeat(100000) + ")".repeat(100000)).test("a")
}

// %% source-nested
// Evaluates a source that is nested without end.
async function attack({ t }) {
  return eval("[".repeat(100000) + "]".repeat(100000)).length
}

// %% memory-of-buffers
// Keeps buffers of a megabyte.
async function attack({ t }) {
  const kept = []
  for (;;) kept.push(new Uint8Array(1e6))
}

// %% memory-at-once
// Asks for two gigabytes.
async function attack({ t }) {
  return new ArrayBuffer(2 ** 31 - 1).byteLength ? t.claim : 1
}

// %% memory-of-text
// Doubles a text.
async function attack({ t }) {
  let text = "x"
  for (;;) text += text
}

// %% memory-of-padding
// Pads a text to a gigabyte.
async function attack({ t }) {
  return "x".padEnd(2 ** 30 - 100).length
}

// %% memory-of-array
// Fills a sparse array.
async function attack({ t }) {
  return new Array(2 ** 32 - 1).fill(1).length
}

// %% memory-of-closures
// Keeps closures.
async function attack({ t }) {
  const kept = []
  for (;;) kept.push(() => kept)
}

// %% memory-swallowed
// Catches that memory is out, and asks again.
async function attack({ t }) {
  const kept = []
  for (;;) try { kept.push(new Uint8Array(1e7)) } catch {}
}

// %% output-forever
// Prints without end in JavaScript.
async function attack({ t }) {
  for (;;) console.log("x".repeat(1000))
}

// %% output-of-nothing
// Prints empty lines to both channels without end.
async function attack({ t }) {
  for (;;) { console.log(""); console.error("") }
}

// %% output-by-module
// Prints by the standard module, past the console.
async function attack({ t }) {
  const std = await import("qjs:std")
  for (;;) std.out.puts("x".repeat(1000))
}

// %% value-of-megabytes
// Returns a text of five megabytes.
async function attack({ t }) {
  return "v".repeat(5e6)
}

// %% value-of-wide-letters
// Returns letters of four bytes.
async function attack({ t }) {
  return "\u{1F600}".repeat(40000)
}

// %% value-in-a-ring
// Returns an object that contains itself.
async function attack({ t }) {
  const ring = {}
  ring.ring = ring
  return ring
}

// %% value-nested
// Returns a value that is nested without end.
async function attack({ t }) {
  let value = []
  for (let n = 0; n < 200000; n++) value = [value]
  return value
}

// %% value-nested-just-so
// Returns a value nested about as deep as the host can follow.
async function attack({ t }) {
  let value = []
  for (let n = 0; n < 960; n++) value = [value]
  return value
}

// %% value-is-a-large-integer
// Returns an integer that JSON has no word for.
async function attack({ t }) {
  return 2n ** 70n
}

// %% value-is-a-symbol
// Returns a symbol, a function, and nothing.
async function attack({ t }) {
  return [Symbol("s"), () => 1, undefined, NaN, Infinity, -0]
}

// %% value-of-half-letters
// Returns text that no UTF-8 can carry in JavaScript.
async function attack({ t }) {
  return ["\ud800", "\udfff".repeat(100), { "\ud800": 1 }]
}

// %% throws-nothing
// Throws what is no error.
async function attack({ t }) {
  throw null
}

// %% throws-megabytes
// Throws an error of megabytes.
async function attack({ t }) {
  throw new Error("x".repeat(5e6))
}

// %% throws-hostile-error
// Throws an error whose parts throw.
async function attack({ t }) {
  throw new Proxy(new Error("e"), { get() { throw new Error("inner") } })
}

// %% throws-forged-refusal
// Throws an error called like the host's.
async function attack({ t }) {
  throw new o.HostError("denied: secrets.use")
}

// %% throws-memory-error
// Throws what looks like memory being out.
async function attack({ t }) {
  const error = new Error("out of memory")
  error.name = "MemoryError"
  throw error
}

// %% exits
// Ends its interpreter.
async function attack({ t }) {
  const std = await import("qjs:std")
  std.exit(0)
}

// %% exits-strangely
// Ends its interpreter with a strange status.
async function attack({ t }) {
  const std = await import("qjs:std")
  std.exit(-2147483648)
}

// %% ungranted
// Calls for a secret that it was not granted in JavaScript.
async function attack({ t }) {
  o.call("secrets.use", { name: "api_key" })
  return t.claim
}

// %% ungranted-by-space
// Spells that call by names.
async function attack({ t }) {
  o.secrets.use({ name: "api_key" })
  return t.claim
}

// %% ungranted-swallowed
// Goes on after it was denied.
async function attack({ t }) {
  try { o.call("secrets.use") } catch {}
  return t.claim
}

// %% ungranted-by-object
// Passes an object that becomes the name.
async function attack({ t }) {
  o.call({ toString: () => "secrets.use" })
  return t.claim
}

// %% ungranted-by-raw-message
// Writes the message to its host itself.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'{"call":"secrets.use","arguments":{}}'].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return t.claim
}

// %% name-with-null
// Ends a granted name by a null.
async function attack({ t }) {
  o.call("attack.echo\0secrets.use")
  return t.claim
}

// %% name-with-wildcard
// Calls by a pattern.
async function attack({ t }) {
  o.call("attack.*")
  return t.claim
}

// %% name-of-prototype
// Calls what every object has.
async function attack({ t }) {
  o.call("__proto__")
  return t.claim
}

// %% calls-too-often
// Calls more often than it may.
async function attack({ t }) {
  for (let n = 0; n < 60; n++) try { o.call("attack.echo", { n }) } catch {}
  return t.claim
}

// %% call-never-answered
// Waits for an answer that never comes.
async function attack({ t }) {
  o.call("attack.wait")
}

// %% arguments-of-megabytes
// Passes arguments of megabytes.
async function attack({ t }) {
  return o.call("attack.echo", { a: "x".repeat(3e6) }).a.length
}

// %% arguments-nested
// Passes arguments that are nested without end.
async function attack({ t }) {
  let a = []
  for (let n = 0; n < 100000; n++) a = [a]
  return o.call("attack.echo", { a })
}

// %% arguments-nested-just-so
// Passes arguments nested about as deep as the host can follow.
async function attack({ t }) {
  const said = []
  for (const depth of [300, 600, 900, 940, 960, 980]) {
    let a = []
    for (let n = 0; n < depth; n++) a = [a]
    try { o.call("attack.echo", { a }); said.push(depth) } catch (error) { said.push(String(error)) }
  }
  return said
}

// %% arguments-are-no-object
// Passes a list, a number and a text.
async function attack({ t }) {
  return [[1], 2, "three", null].map((a) => { try { return o.call("attack.echo", a) } catch (error) { return String(error) } })
}

// %% message-is-no-json
// Sends its host what is no JSON.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'{'].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return 2
}

// %% message-is-a-list
// Sends its host JSON of another form.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'[1]'].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return 2
}

// %% message-of-both-kinds
// Sends a call and a reply in one.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'{"call":"attack.echo","reply":{"ok":1}}'].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return 2
}

// %% message-is-empty
// Sends an empty message.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...''].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return 2
}

// %% reply-with-verdict
// Replies by a verdict of its own.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'{"reply":{"ok":1,"reason":"denied"}}'].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return 2
}

// %% reply-of-huge-number
// Replies by a number out of range.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'{"reply":{"ok":1e999999}}'].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return 2
}

// %% reply-is-no-text
// Replies by bytes that are text in no encoding.
async function attack({ t }) {
  const os = await import("qjs:os")
  const head = [...'{"reply":{"ok":"'].map((c) => c.charCodeAt(0))
  const bytes = Uint8Array.from([...head, 255, 254, 128, 34, 125, 125])
  os.write(3, bytes.buffer, 0, bytes.length)
  const std = await import("qjs:std")
  std.exit(0)
}

// %% reply-twice
// Replies, and then again by its own end.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'{"reply":{"ok":"first"}}'].map((c) => c.charCodeAt(0)))
  os.write(3, bytes.buffer, 0, bytes.length)
  return "second"
}

// %% message-nested
// Sends a message that is nested without end.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = new Uint8Array(200000).fill(91)
  os.write(3, bytes.buffer, 0, bytes.length)
  return 1
}

// %% message-flood
// Sends calls without reading what is answered.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = Uint8Array.from([...'{"call":"attack.echo","arguments":{"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}'].map((c) => c.charCodeAt(0)))
  for (;;) os.write(3, bytes.buffer, 0, bytes.length)
}

// %% request-read-again
// Reads its request a second time, and waits for more of it.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = new Uint8Array(1000)
  return [os.read(0, bytes.buffer, 0, 1000), os.read(3, bytes.buffer, 0, 1000)]
}

// %% descriptors-of-engine
// Writes to descriptors that the engine itself has.
async function attack({ t }) {
  const os = await import("qjs:os")
  const bytes = new Uint8Array(8)
  for (let fd = 4; fd < 60; fd++) if (os.write(fd, bytes.buffer, 0, 8) >= 0) return t.claim
}

// %% write-outside-buffer
// Writes from outside of its buffer.
async function attack({ t }) {
  const os = await import("qjs:os")
  os.write(1, new ArrayBuffer(8), 1000000, 8)
  return t.claim
}

// %% json-replaced
// Replaces JSON, by which its reply is made.
async function attack({ t }) {
  JSON.stringify = () => "forged"
  JSON.parse = () => ({ ok: 1 })
  return 1
}

// %% prototypes-poisoned
// Changes what every object and list inherits.
async function attack({ t }) {
  Object.prototype.poison = "poison"
  Array.prototype.toJSON = () => "forged"
  globalThis.poison = "poison"
  return [1]
}

// %% globals-replaced
// Replaces the functions that its host reads it by.
async function attack({ t }) {
  globalThis.decodeURIComponent = globalThis.escape = () => "forged"
  String.fromCharCode = () => ""
  return o.call("attack.echo", { a: 1 })
}

// %% module-of-host-replaced
// Replaces the object that leads to the host.
async function attack({ t }) {
  globalThis.o = { call: () => "forged" }
  return o.call("secrets.use")
}

// %% function-from-text
// Makes functions of text, by each kind of constructor.
async function attack({ t }) {
  return [Function, (async () => {}).constructor, (function* () {}).constructor].map((make) => String(make("return 1")).length)
}

// %% script-of-other-context
// Evaluates a source in the scope of its host's program.
async function attack({ t }) {
  const std = await import("qjs:std")
  return [std.evalScript("typeof HOST"), typeof write, typeof std.loadScript]
}

// %% bytecode-forged
// Loads forged bytecode, which QuickJS does not check.
async function attack({ t }) {
  const bjson = await import("qjs:bjson")
  const bytes = new Uint8Array(400).fill(0x43)
  return bjson.read(bytes.buffer, 0, bytes.length, true)
}

// %% bytecode-changed
// Writes a function as bytecode, changes it, and calls it.
async function attack({ t }) {
  const bjson = await import("qjs:bjson")
  const written = new Uint8Array(bjson.write(() => 1, 255))
  for (let n = 20; n < written.length; n++) written[n] ^= n
  return bjson.read(written.buffer, 0, written.length, 255)()
}

// %% clock
// Looks at the clock until a second has passed.
async function attack({ t }) {
  const end = Date.now() + 3600000
  while (Date.now() < end);
}

// %% garbage
// Collects garbage in a loop over a large graph in JavaScript.
async function attack({ t }) {
  const std = await import("qjs:std")
  const kept = Array.from({ length: 50000 }, () => [{}])
  for (;;) std.gc()
}

// %% finaliser
// Registers what runs when its objects are gone, and goes on there.
async function attack({ t }) {
  new FinalizationRegistry(() => { for (;;); }).register({}, 1)
  return 1
}

// %% entry-is-missing
// Defines no entry.
const other = 1

// %% entry-is-a-class
// Makes the entry a class, which cannot be called.
class attack {}

// %% entry-is-a-proxy
// Makes the entry a proxy that throws whatever is asked of it.
var attack = new Proxy(function () {}, { get() { throw 1 }, apply() { throw 2 } })

// %% entry-takes-over
// Ends the function that its source is wrapped in, if it is.
}); globalThis.taken = true; (function () {

// %% scratch-climb
// Reads the canary by dots out of the scratch folder.
function attack({ t }) {
  return o.scratch.read({ path: "../".repeat(30) + t.file })
}

// %% scratch-hole
// Writes far behind a file's end.
function attack({ t }) {
  o.scratch.write({ path: "hole", content: "x", at: 3 * 2 ** 20 })
  return t.claim
}

// %% scratch-quota [wall=3 cpu=2]
// Fills the scratch folder beyond its quota, a file after the other.
function attack({ t }) {
  for (let n = 0; n < 20; n++) o.scratch.write({ path: `f${n}`, content: "x".repeat(2 ** 16) })
  return t.claim
}

// %% scratch-small-files [wall=3 cpu=2]
// Fills it with names only.
function attack({ t }) {
  for (let n = 0; n < 2100; n++) o.scratch.write({ path: `f${n}` })
  return t.claim
}

// %% scratch-odd-arguments
// Sends what is no path and no place.
function attack({ t }) {
  for (const odd of [{}, { path: 1 }, { path: "x", at: 1.5 }, { path: "x", at: 2 ** 60 }, { path: "x", more: 1 }]) {
    try { o.scratch.write(odd) } catch (error) { if (error.name !== "HostError") return t.claim; continue }
    return t.claim
  }
}
