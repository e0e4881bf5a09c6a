/* A tool of the tier `module` in C: answers with the text it was given, in capitals, and asks its
 * host for a name to put before it. Build it without a C library:
 *
 *   clang --target=wasm32 -nostdlib -O2 -Wl,--no-entry -o shout.wasm shout.c
 *
 * or, where no clang is at hand, by that of the PyPI package `ziglang`:
 *
 *   python -m ziglang cc --target=wasm32-freestanding -nostdlib -O2 -Wl,--no-entry \
 *     -o shout.wasm shout.c
 */
typedef unsigned int size;
typedef unsigned long long packed;

#define IMPORT(name) __attribute__((import_module("o"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("call") packed host_call(const char *name, size length, const char *arguments, size bytes);
IMPORT("fail") void host_fail(const char *text, size length);

static char heap[1 << 16];
static size used;

EXPORT("alloc") char *alloc(size bytes) {
  if (bytes > sizeof heap - used)
    host_fail("the arguments are too long", 26);
  used += bytes;
  return heap + used - bytes;
}

static size copy(char *to, const char *from, size length) {
  for (size at = 0; at < length; at++)
    to[at] = from[at] >= 'a' && from[at] <= 'z' ? from[at] - 32 : from[at];
  return length;
}

/* Arguments are an object; the result is an array of the host's answer and of that object. */
EXPORT("shout") packed shout(const char *arguments, size length) {
  packed answer = host_call("name", 4, "{}", 2);
  char *reply = alloc(length + (size)answer + 3);
  size end = 0;
  reply[end++] = '[';
  end += copy(reply + end, (const char *)(size)(answer >> 32), (size)answer);
  reply[end++] = ',';
  end += copy(reply + end, arguments, length);
  reply[end++] = ']';
  return (packed)(size)reply << 32 | end;
}
