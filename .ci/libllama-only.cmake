# Leaves everything but libllama and libggml out of the llama.cpp build: about half the compile time.
#
# CMake includes this file at the end of llama.cpp's own project() call: .ci/setup names it in
# CMAKE_PROJECT_llama.cpp_INCLUDE. That is the one place from which the switch can be turned off:
# llama-cpp-python's CMakeLists.txt forces the cache entry on before, llama.cpp reads it after.
# llama-common (chat templates, downloads, an HTTP client) is used by llama.cpp's programs only; the
# bindings neither install nor load it. No compiler option of the libraries kept is touched.
# Somebody who asks for the multimodal library (LLAVA_BUILD=ON) gets the build as it comes.
if(NOT LLAVA_BUILD)
    set(LLAMA_BUILD_COMMON OFF)
endif()
