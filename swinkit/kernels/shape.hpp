// What a call of window attention is about; also declared in attention.py.
#pragma once
#include <cstdint>

struct Shape {
    int64_t batch, tokens, windows;
    int N, H, P, cosine, D;
    int64_t channels() const { return (int64_t)H * D; }
};
