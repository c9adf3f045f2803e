"""The names that each language defines by itself, so that no file has to introduce them."""

from __future__ import annotations

import builtins

from lsp_server.core.languages import Language

_KNOWN: dict[str, str] = {
    "Python": """
        self cls __name__ __file__ __doc__ _
    """,
    "JavaScript": """
        undefined NaN Infinity Object Array Map Set WeakMap WeakSet Promise Error TypeError RangeError SyntaxError
        JSON Math Number String Boolean Symbol Date RegExp BigInt Proxy Reflect console process module exports require
        globalThis window document setTimeout clearTimeout setInterval clearInterval parseInt parseFloat isNaN
        isFinite encodeURIComponent decodeURIComponent structuredClone queueMicrotask fetch URL URLSearchParams Buffer
        arguments AbortController AbortSignal TextEncoder TextDecoder Uint8Array Int32Array Float64Array Intl
        performance
    """,
    "TypeScript": """
        Record Partial Required Readonly Pick Omit Exclude Extract NonNullable ReturnType Parameters Awaited
        ReadonlyArray ReadonlyMap ReadonlySet Iterable Iterator AsyncIterable PromiseLike ArrayLike Uppercase
        Lowercase
    """,
    "Go": """
        append cap clear close complex copy delete imag len make max min new panic print println real recover any bool
        byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 int64 rune string uint uint8
        uint16 uint32 uint64 uintptr true false iota nil _
    """,
    "Rust": """
        Some None Ok Err Option Result Vec String Box Default Clone Copy Debug Iterator IntoIterator From Into TryFrom
        TryInto ToString ToOwned AsRef AsMut Drop Fn FnMut FnOnce Send Sync Sized PartialEq Eq PartialOrd Ord Hash
        Extend drop std core alloc self Self crate super println eprintln print eprint format panic assert assert_eq
        assert_ne vec unreachable todo unimplemented matches write writeln dbg str char bool u8 u16 u32 u64 u128 usize
        i8 i16 i32 i64 i128 isize f32 f64 derive cfg test inline allow must_use Display
    """,
    "Java": """
        String Object Integer Long Double Float Boolean Character Byte Short Number Math System Exception Error
        RuntimeException IllegalArgumentException IllegalStateException NullPointerException IndexOutOfBoundsException
        ArithmeticException UnsupportedOperationException NumberFormatException ClassCastException
        InterruptedException StringBuilder StringBuffer Iterable Comparable Runnable Thread Throwable Override
        Deprecated FunctionalInterface SuppressWarnings CharSequence AutoCloseable Enum Record Void Class Cloneable
        var SafeVarargs
    """,
    "C": """
        NULL size_t printf fprintf sprintf snprintf malloc calloc realloc free memcpy memmove memset memcmp strlen
        strcmp strncmp strcpy strncpy strcat strchr strrchr strstr stdin stdout stderr exit abort assert errno FILE
        bool true false int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t ssize_t ptrdiff_t intptr_t
        uintptr_t
    """,
    "C++": """
        std nullptr string vector cout cerr cin endl move forward make_unique make_shared
    """,
}
_ALSO = {"TypeScript": ("JavaScript",), "TSX": ("JavaScript", "TypeScript"), "C++": ("C",)}


def known_names(language: Language) -> frozenset[str]:
    """The names that a language defines by itself."""
    texts = [_KNOWN.get(name, "") for name in (language.name, *_ALSO.get(language.name, ()))]
    more = dir(builtins) if language.name == "Python" else ()
    return frozenset((*" ".join(texts).split(), *more))
