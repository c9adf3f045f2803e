# Leaves everything but libllama and libggml out of the llama.cpp build: about half the compile time.
#
# CMake includes this file at the end of llama.cpp's own project() call: .ci/setup names it in
# CMAKE_PROJECT_llama.cpp_INCLUDE. That is the one place from which the switch can be turned off:
# llama-cpp-python's CMakeLists.txt forces the cache entry on before, llama.cpp reads it after.
# llama-common (chat templates, downloads, an HTTP client) is used by llama.cpp's programs only; the
# bindings neither install nor load it.
# Somebody who asks for the multimodal library (LLAVA_BUILD=ON) gets the build as it comes.
if(NOT LLAVA_BUILD)
    set(LLAMA_BUILD_COMMON OFF)
endif()

# GCC 12 (and others) compile _tile_loadconfig wrongly: the intrinsic tells the optimiser that it reads 8 bytes of the
# 64, so the rest of the configuration is never stored, and the first tile instruction of llama.cpp's AMX code is an
# illegal one (SIGILL at the first batch on Sapphire Rapids and newer). Where this program shows the fault, AMX stays
# off, and AVX-512 VNNI does the same work.
include(CheckCXXSourceRuns)
set(CMAKE_REQUIRED_FLAGS "-O3 -march=native")
check_cxx_source_runs("
#if defined(__AMX_TILE__) && defined(__linux__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
struct Config { unsigned char palette, start, unused[14]; unsigned short bytes[16]; unsigned char rows[16]; };
static __attribute__((noinline)) void configure() {
    alignas(64) Config config = {};
    config.palette = 1;
    config.rows[4] = 16;
    config.bytes[4] = 64;
    _tile_loadconfig(&config);
}
int main() {
    if (syscall(SYS_arch_prctl, 0x1023, 18)) return 1;
    configure();
    Config found = {};
    __asm__ volatile(\"sttilecfg %0\" : \"=m\"(found));
    return found.rows[4] == 16 ? 0 : 1;
}
#else
int main() { return 0; }
#endif
" FIMBLE_AMX_IS_SAFE)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT FIMBLE_AMX_IS_SAFE)
    include(CheckCXXCompilerFlag)
    foreach(extension tile int8 bf16)
        check_cxx_compiler_flag("-mno-amx-${extension}" FIMBLE_KNOWS_AMX_${extension})
        if(FIMBLE_KNOWS_AMX_${extension})
            add_compile_options("-mno-amx-${extension}")
        endif()
    endforeach()
endif()
