;; %% result-outside-memory
;; Names a result far outside its memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 4294901760) (i64.const 32)) (i64.const 100))))

;; %% result-of-four-gigabytes
;; Names a result as long as the address space.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 0) (i64.const 32)) (i64.const 4294967295))))

;; %% result-wraps-around
;; Names a result that begins at the last address and goes on at the first.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 4294967295) (i64.const 32)) (i64.const 2))))

;; %% result-one-past-end
;; Names a result that ends one byte past its memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 65532) (i64.const 32)) (i64.const 5))))

;; %% result-at-end-of-memory
;; Names a result of no bytes right at the end of its memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 65536) (i64.const 32)) (i64.const 0))))

;; %% result-of-no-bytes-outside
;; Names a result of no bytes outside its memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 4294967295) (i64.const 32)) (i64.const 0))))

;; %% result-is-no-json
;; Names a result that is no JSON.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "{\"a\"")
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 0) (i64.const 32)) (i64.const 4))))

;; %% result-is-no-text
;; Names a result that is text in no encoding.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "\"\ff\fe\80\c3\"")
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 0) (i64.const 32)) (i64.const 6))))

;; %% result-nested
;; Fills its memory with brackets, so that the result is nested without end.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (memory.fill (i32.const 2048) (i32.const 91) (i32.const 60000)) (i64.or (i64.shl (i64.const 2048) (i64.const 32)) (i64.const 60000))))

;; %% result-half-nested
;; Names a result whose nesting opens and closes.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (memory.fill (i32.const 2048) (i32.const 91) (i32.const 1500)) (memory.fill (i32.const 3548) (i32.const 93) (i32.const 1500)) (i64.or (i64.shl (i64.const 2048) (i64.const 32)) (i64.const 3000))))

;; %% result-of-digits
;; Names a number of sixty thousand digits.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (memory.fill (i32.const 2048) (i32.const 57) (i32.const 60000)) (i64.or (i64.shl (i64.const 2048) (i64.const 32)) (i64.const 60000))))

;; %% result-over-budget
;; Names a text over the budget of output.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 40))) (memory.fill (i32.const 2048) (i32.const 120) (i32.const 2000000)) (i32.store8 (i32.const 2048) (i32.const 34)) (i32.store8 (i32.const 2002047) (i32.const 34)) (i64.or (i64.shl (i64.const 2048) (i64.const 32)) (i64.const 2000000))))

;; %% alloc-outside
;; Lets the host write its argument far outside the memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const -16))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% alloc-at-end
;; Lets it write from the last byte on.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 65535))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% alloc-traps
;; Traps when it is asked for room.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (unreachable))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% alloc-null
;; Lets it write over what lies at the first address.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% alloc-spins
;; Never answers when it is asked for room.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (loop $on (br $on)) (unreachable))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% alloc-moves-memory
;; Grows its memory while the host waits for room in it.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (drop (memory.grow (i32.const 100))) (i32.const 6000000))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% alloc-asks-again
;; Calls the host again from where the host asks it for room.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (global $n (mut i32) (i32.const 0))
  (func (export "alloc") (param i32) (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (if (i32.lt_u (global.get $n) (i32.const 1000))
      (then (drop (call $call (i32.const 0) (i32.const 11) (i32.const 0) (i32.const 0)))))
    (i32.const 1024))
  (data (i32.const 0) "attack.echo")
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% alloc-of-wrong-type
;; Exports room under a type that the host does not call.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i64) (result i64) (local.get 0))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% alloc-is-a-global
;; Exports a number where a function should be.
(module
  (memory (export "memory") 1)
  (global (export "alloc") i32 (i32.const 5))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% memory-is-a-table
;; Exports a table where the memory should be.
(module
  (table (export "memory") 1 funcref)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% memory-is-missing
;; Exports no memory.
(module
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% entry-of-wrong-type
;; Takes and gives other types than the host expects.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param f64) (result f64) (local.get 0)))

;; %% entry-is-a-memory
;; Exports its memory under the name of its entry.
(module
  (memory (export "memory") (export "attack") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
)

;; %% name-outside
;; Names a capability by a place outside its memory.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $call (i32.const -8) (i32.const 64) (i32.const 0) (i32.const 0))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% name-of-negative-size
;; Names a capability of a negative length.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $call (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% arguments-outside
;; Passes arguments that lie outside its memory.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "attack.echo")
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $call (i32.const 0) (i32.const 11) (i32.const 65530) (i32.const 100))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% arguments-of-zeros
;; Passes a memory full of zeros as arguments.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "attack.echo")
  (func (export "attack") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 900))) (call $call (i32.const 0) (i32.const 11) (i32.const 64) (i32.const 50000000))))

;; %% call-ungranted
;; Calls for a secret that it was not granted as WebAssembly.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "secrets.use")
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $call (i32.const 0) (i32.const 11) (i32.const 0) (i32.const 0))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% call-nameless
;; Calls the nameless capability.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))) (i64.const 0)))

;; %% call-too-often
;; Calls what it was granted more often than it may as WebAssembly.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "attack.echo")
  (func (export "attack") (param i32 i32) (result i64)
    (local i32) (loop $on (drop (call $call (i32.const 0) (i32.const 11) (i32.const 0) (i32.const 0))) (local.set 2 (i32.add (local.get 2) (i32.const 1))) (br_if $on (i32.lt_u (local.get 2) (i32.const 60)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% call-never-answered
;; Waits for an answer that the host never gives as WebAssembly.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "attack.wait")
  (func (export "attack") (param i32 i32) (result i64)
    (call $call (i32.const 0) (i32.const 11) (i32.const 0) (i32.const 0))))

;; %% call-before-the-call
;; Calls the host while it is being started.
(module
  (import "o" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "secrets.use")
  (func $early (drop (call $call (i32.const 0) (i32.const 11) (i32.const 0) (i32.const 0))))
  (start $early)
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% print-outside
;; Prints from outside its memory.
(module
  (import "o" "print" (func $print (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $print (i32.const 1) (i32.const -4) (i32.const 400)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% print-of-negative-size
;; Prints a text of a negative length.
(module
  (import "o" "print" (func $print (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $print (i32.const 1) (i32.const 0) (i32.const -1)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% print-everywhere
;; Prints on channels that there are not.
(module
  (import "o" "print" (func $print (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $print (i32.const -1) (i32.const 0) (i32.const 9)) (call $print (i32.const 77) (i32.const 0) (i32.const 9)) (i64.const 0)))

;; %% print-forever
;; Prints a part of its memory without end.
(module
  (import "o" "print" (func $print (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (loop $on (call $print (i32.const 1) (i32.const 0) (i32.const 1000)) (br $on)) (unreachable)))

;; %% print-nothing-forever
;; Prints texts of no bytes without end.
(module
  (import "o" "print" (func $print (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (loop $on (call $print (i32.const 2) (i32.const 0) (i32.const 0)) (br $on)) (unreachable)))

;; %% random-outside
;; Lets the host write random bytes outside its memory.
(module
  (import "o" "random" (func $random (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $random (i32.const 65530) (i32.const 64)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% random-of-gigabytes
;; Asks for four gigabytes of random bytes.
(module
  (import "o" "random" (func $random (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $random (i32.const 0) (i32.const -1)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% random-forever
;; Asks for a megabyte of random bytes again and again.
(module
  (import "o" "random" (func $random (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 20))) (loop $on (call $random (i32.const 0) (i32.const 1000000)) (br $on)) (unreachable)))

;; %% fail-outside
;; Fails with a text from outside its memory.
(module
  (import "o" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $fail (i32.const -1) (i32.const 8)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% fail-with-megabytes
;; Fails with a text of megabytes.
(module
  (import "o" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 300))) (call $fail (i32.const 8192) (i32.const 19000000)) (i64.const 0)))

;; %% fail-is-ignored
;; Goes on after it said that it failed.
(module
  (import "o" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $fail (i32.const 0) (i32.const 0)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% clock-forever
;; Looks at the clock until it has moved by an hour.
(module
  (import "o" "now" (func $now (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (local i64) (local.set 2 (i64.add (call $now) (i64.const 3600000000000))) (loop $on (br_if $on (i64.lt_u (call $now) (local.get 2)))) (i64.const 0)))

;; %% import-of-wrong-type
;; Imports a function of the host under another type.
(module
  (import "o" "call" (func (param i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% import-of-system
;; Imports what runs programs on a careless host.
(module
  (import "env" "system" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% import-of-memory
;; Imports a memory, that of the host for want of another.
(module
  (import "o" "memory" (memory 1))
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% spin
;; Loops for ever.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (loop $on (br $on)) (unreachable)))

;; %% spin-while-starting
;; Loops for ever before it can be called.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $early (loop $on (br $on)))
  (start $early)
  (func (export "attack") (param i32 i32) (result i64) (i64.const 0)))

;; %% spin-while-initialised
;; Loops for ever in what compilers export to set up.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "_initialize") (loop $on (br $on)))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))

;; %% spin-in-bulk
;; Fills memory again and again, an instruction for megabytes.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 900))) (loop $on (memory.fill (i32.const 0) (i32.const 1) (i32.const 58000000)) (br $on)) (unreachable)))

;; %% recursion
;; Recurses until the stack is gone.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $deep (param i64) (result i64) (i64.add (call $deep (local.get 0)) (i64.const 1)))
  (func (export "attack") (param i32 i32) (result i64)
    (call $deep (i64.const 1))))

;; %% recursion-with-wide-frames
;; Recurses with many locals, so that each frame is wide.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $deep (param i64) (result i64) (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 )
    (i64.add (call $deep (local.get 0)) (local.get 150)))
  (func (export "attack") (param i32 i32) (result i64)
    (call $deep (i64.const 1))))

;; %% recursion-by-table
;; Recurses through a table of functions.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (table 1 funcref)
  (elem (i32.const 0) $self)
  (func $self (param i32 i32) (result i64)
    (i64.add (i64.const 1) (call_indirect (param i32 i32) (result i64) (local.get 0) (local.get 1) (i32.const 0))))
  (func (export "attack") (param i32 i32) (result i64)
    (call_indirect (param i32 i32) (result i64) (local.get 0) (local.get 1) (i32.const 0))))

;; %% memory-past-budget
;; Grows its memory page by page, and says so when it got a gigabyte.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (loop $on (br_if $on (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (if (i32.lt_u (memory.size) (i32.const 16000)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% memory-at-once
;; Asks for all four gigabytes at once, and says so when it got them.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% memory-declared
;; Declares a memory of three gigabytes.
(module
  (memory (export "memory") 48000)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% memory-touched
;; Touches each page of all the memory that it gets.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (local i32) (drop (memory.grow (i32.const 1000))) (drop (memory.grow (i32.const 1000))) (loop $on (i32.store (local.get 2) (i32.const 1)) (local.set 2 (i32.add (local.get 2) (i32.const 4096))) (br $on)) (unreachable)))

;; %% many-memories
;; Declares twenty memories, each within the budget.
(module
  (memory (export "memory") 1)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (memory 900)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% memory-of-64-bits
;; Declares a memory with addresses of 64 bits.
(module
  (memory (export "memory") i64 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% memory-shared
;; Declares a memory to share with threads.
(module
  (memory (export "memory") 1 100 shared)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% table-past-budget
;; Grows a table to a hundred million entries, and says so.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (table $t 1 externref)
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.eq (table.grow $t (ref.null extern) (i32.const 100000000)) (i32.const -1)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% many-tables
;; Declares a hundred tables.
(module
  (memory (export "memory") 1)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (table 50000 funcref)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% load-outside
;; Reads outside its memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.load (i32.const -8))))

;; %% load-by-offset
;; Reads outside by an offset that the compiler adds.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.load offset=4294967290 (local.get 0))))

;; %% store-outside
;; Writes outside its memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.store (i32.const 65533) (i64.const -1)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% fill-outside
;; Fills a part that ends outside.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (memory.fill (i32.const 60000) (i32.const 65) (i32.const 60000)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% copy-wraps
;; Copies a part that wraps around.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (memory.copy (i32.const 0) (i32.const -1) (i32.const 100)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% atomic-outside
;; Exchanges a value outside, as threads do.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (i32.atomic.rmw.xchg (i32.const -4) (i32.const 1))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% vector-outside
;; Reads a vector across the end.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64x2.extract_lane 0 (v128.load (i32.const 65530)))))

;; %% call-through-null
;; Calls an empty entry of a table.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (table 8 funcref)
  (func (export "attack") (param i32 i32) (result i64)
    (call_indirect (param i32 i32) (result i64) (local.get 0) (local.get 1) (i32.const 3))))

;; %% call-past-table
;; Calls an entry past a table.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (table 8 funcref)
  (func (export "attack") (param i32 i32) (result i64)
    (call_indirect (param i32 i32) (result i64) (local.get 0) (local.get 1) (i32.const 3000))))

;; %% call-by-wrong-type
;; Calls a function by another type than its own.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (table 1 funcref)
  (elem (i32.const 0) $other)
  (func $other (param f64))
  (func (export "attack") (param i32 i32) (result i64)
    (call_indirect (param i32 i32) (result i64) (local.get 0) (local.get 1) (i32.const 0))))

;; %% table-copy-outside
;; Copies entries past the end of a table.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (table 8 funcref)
  (func (export "attack") (param i32 i32) (result i64)
    (table.copy (i32.const 4) (i32.const 0) (i32.const 100)) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% divide-by-zero
;; Divides by zero.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.div_u (i64.const 1) (i64.const 0))))

;; %% divide-overflows
;; Divides the least number by minus one.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.div_s (i64.const -9223372036854775808) (i64.const -1))))

;; %% convert-overflows
;; Makes an integer of what is no number.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.trunc_f64_s (f64.const nan))))

;; %% data-outside
;; Declares data past the end of its memory.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 65530) "xxxxxxxxxxxxxxxxxxxx")
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% elements-outside
;; Declares entries past the end of its table.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (table 1 funcref)
  (elem (i32.const 9) $f)
  (func $f)
  (func (export "attack") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-open-from-3
;; Opens a file of the host below descriptor 3.
(module
  (import "wasi_snapshot_preview1" "path_open" (func $w (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "etc/passwd")
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 10) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-open-from-4
;; Opens a file of the host below descriptor 4.
(module
  (import "wasi_snapshot_preview1" "path_open" (func $w (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "etc/passwd")
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 4) (i32.const 1) (i32.const 0) (i32.const 10) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-open-from-5
;; Opens a file of the host below descriptor 5.
(module
  (import "wasi_snapshot_preview1" "path_open" (func $w (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "etc/passwd")
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 5) (i32.const 1) (i32.const 0) (i32.const 10) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-folder-name
;; Asks for the name of a folder that it was given.
(module
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $w (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-list-folder
;; Lists a folder of the host.
(module
  (import "wasi_snapshot_preview1" "fd_readdir" (func $w (param i32 i32 i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 2048) (i32.const 1000) (i64.const 0) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-make-folder
;; Makes a folder as WebAssembly.
(module
  (import "wasi_snapshot_preview1" "path_create_directory" (func $w (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "marker")
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 0) (i32.const 6)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-remove-file
;; Removes a file.
(module
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $w (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "canary.txt")
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 0) (i32.const 10)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-rename
;; Renames a file.
(module
  (import "wasi_snapshot_preview1" "path_rename" (func $w (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "onetwo12")
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 3) (i32.const 4) (i32.const 4)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-link
;; Makes a symbolic link out of a folder.
(module
  (import "wasi_snapshot_preview1" "path_symlink" (func $w (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "/etc/ssl")
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 0) (i32.const 8) (i32.const 3) (i32.const 8) (i32.const 4)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-renumber
;; Puts one descriptor in place of another.
(module
  (import "wasi_snapshot_preview1" "fd_renumber" (func $w (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 0) (i32.const 3)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-send
;; Sends over a socket that it was given.
(module
  (import "wasi_snapshot_preview1" "sock_send" (func $w (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-accept
;; Accepts a connection.
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $w (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 3) (i32.const 0) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-environment
;; Counts the variables of its environment, and says so when there are any.
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $w (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $w (i32.const 64) (i32.const 68))) (if (i32.eqz (i32.load (i32.const 64))) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-sizes-outside
;; Lets the host write a count outside its memory.
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $w (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $w (i32.const -1) (i32.const 65535))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-write-many-places
;; Writes from a million places at once.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1000000) (i32.const 64))) (i64.const 0)))

;; %% wasi-write-place-outside
;; Writes from a place outside, named by a list inside.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (i32.store (i32.const 0) (i32.const -64)) (i32.store (i32.const 4) (i32.const 128)) (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-write-past-sum
;; Writes four gigabytes by the sum of lengths that each fit.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (local i32) (drop (memory.grow (i32.const 20))) (loop $on (i32.store (local.get 2) (i32.const 0)) (i32.store offset=4 (local.get 2) (i32.const 1000000)) (local.set 2 (i32.add (local.get 2) (i32.const 8))) (br_if $on (i32.lt_u (local.get 2) (i32.const 32000)))) (drop (call $w (i32.const 1) (i32.const 0) (i32.const 4000) (i32.const 64))) (i64.const 0)))

;; %% wasi-write-to-host
;; Writes to the descriptors that the engine itself has.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 64)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-read-forever
;; Reads from its input until there is some.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (loop $on (drop (call $w (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64))) (br $on)) (unreachable)))

;; %% wasi-wait
;; Waits for an hour.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (drop (call $w (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 64))) (i64.const 0)))

;; %% wasi-exit
;; Ends with a status, as programs do.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $w (param i32) ))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $w (i32.const 0)) (i64.const 0)))

;; %% wasi-exit-with-any-status
;; Ends with a status that no system knows.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $w (param i32) ))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (call $w (i32.const -2147483648)) (i64.const 0)))

;; %% wasi-raise
;; Raises a signal.
(module
  (import "wasi_snapshot_preview1" "proc_raise" (func $w (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (i32.ne (call $w (i32.const 9)) (i32.const 0)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% wasi-yield-forever
;; Yields its processor for ever.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $w  (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (loop $on (drop (call $w)) (br $on)) (unreachable)))

;; %% wasi-random-of-gigabytes
;; Asks for four gigabytes of random bytes as WebAssembly.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $w (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (if (call $w (i32.const 0) (i32.const -1)) (then (return (i64.const 0)))) (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))

;; %% text-is-no-module
;; Is no module at all.
this is no module

;; %% text-nested
;; Nests brackets until a parser written by recursion overflows.
(module (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((()))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))

;; %% blocks-nested
;; Nests a thousand blocks.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "attack") (param i32 i32) (result i64)
    (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block (block )))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))) (i64.const 0)))

;; %% many-locals
;; Declares two thousand locals.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $f (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 ) (local.set 1900 (i64.const 1)))
  (func (export "attack") (param i32 i32) (result i64)
    (i64.const 0)))
