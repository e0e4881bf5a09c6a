;; A tool of the tier `module` by hand: adds the digits of its arguments' text, by the JSON ABI.
;; Arguments are a JSON object such as {"text": "1 and 2"}; the result is a JSON number.
(module
  (import "o" "print" (func $print (param i32 i32 i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))

  (func (export "alloc") (param $size i32) (result i32)
    (local $place i32)
    (local.set $place (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $place))

  (func (export "sum") (param $at i32) (param $size i32) (result i64)
    (local $end i32) (local $sign i32) (local $total i32)
    (call $print (i32.const 1) (local.get $at) (local.get $size))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $sign (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
        (if (i32.lt_u (local.get $sign) (i32.const 10))
          (then (local.set $total (i32.add (local.get $total) (local.get $sign)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    ;; Two digits, written to address 0.
    (i32.store8 (i32.const 0)
      (i32.add (i32.const 48) (i32.div_u (local.get $total) (i32.const 10))))
    (i32.store8 (i32.const 1)
      (i32.add (i32.const 48) (i32.rem_u (local.get $total) (i32.const 10))))
    (if (result i64) (i32.lt_u (local.get $total) (i32.const 10))
      (then (i64.const 0x100000001))     ;; one digit at address 1
      (else (i64.const 2)))))            ;; two digits at address 0
