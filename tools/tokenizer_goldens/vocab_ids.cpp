// The ids that llama.cpp gives texts with the vocabulary of a GGUF file, for gguf_rules.py.
//
//     vocab_ids FILE.gguf < texts        a line for each text: its UTF-8 bytes in hexadecimal
//
// Prints a line of JSON for the file, then one for each text. Needs no backend and no model, so a few files of llama.cpp are enough
// (made with those in the source package llama_cpp_python 0.3.36):
//
//     cd llama.cpp && printf '#define GGML_VERSION ""\n#define GGML_COMMIT ""\n' > ggml/src/ggml-version.h
//     flags='-O1 -D_GNU_SOURCE -Iinclude -Isrc -Iggml/include -Iggml/src'
//     gcc $flags -c ggml/src/ggml.c ggml/src/ggml-alloc.c ggml/src/ggml-quants.c
//     g++ -std=c++17 $flags -static -no-pie -Wl,--unresolved-symbols=ignore-all -o vocab_ids PATH/vocab_ids.cpp *.o \
//       src/unicode.cpp src/unicode-data.cpp src/llama-vocab.cpp src/llama-model-loader.cpp src/llama-mmap.cpp src/llama-arch.cpp \
//       src/llama-impl.cpp src/llama-hparams.cpp ggml/src/ggml.cpp ggml/src/gguf.cpp ggml/src/ggml-threading.cpp
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "llama-model-loader.h"
#include "llama-vocab.h"
#include "llama.h"

int main(int, char ** argv) {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    std::vector<std::string> splits;
    llama_model_loader loader(nullptr, nullptr, nullptr, argv[1], splits, nullptr, LLAMA_LOAD_MODE_NONE, false, true, false, nullptr, nullptr);
    llama_vocab vocab;
    vocab.load(loader, LLM_KV(loader.get_arch()));
    printf("{\"addBos\": %s, \"addEos\": %s}\n", vocab.get_add_bos() ? "true" : "false", vocab.get_add_eos() ? "true" : "false");
    for (std::string line; std::getline(std::cin, line);) {
        std::string text;
        for (size_t i = 0; i + 1 < line.size(); i += 2) text += (char) std::stoi(line.substr(i, 2), nullptr, 16);
        std::string ids;
        for (llama_token id : vocab.tokenize(text, false, true)) ids += (ids.empty() ? "" : ", ") + std::to_string(id);
        printf("[%s]\n", ids.c_str());
    }
}
