// The functions that a stage calls in the other sources: declared once, so that the compiler compares both sides.
#pragma once
#include <cstdint>

struct Shape {  // of window attention; also declared in attention.py
    int64_t batch, tokens, windows;
    int N, H, P, cosine, D;
    int64_t channels() const { return (int64_t)H * D; }
};
struct Statistics { float mean, scale; };  // of a row that is normed

extern "C" {

// x (rows, inner) by packed weights to out (rows, columns); ``before``, if there is one, keeps what enters the GELU
void dense_forward(int half, const void* x, const void* weights, const float* bias, const void* residual, int gelu, int64_t rows,
                   int64_t inner, int64_t columns, void* out, void* before, int threads);
// 0 where a kernel knows the width of the heads
int attention_forward(int half, const void* qkv, const void* pad, const float* bias, const int32_t* index, const uint8_t* region,
                      const uint8_t* mixed, const float* scale, const Shape* shape, void* out, int threads);
// x (rows, C) and out, like the residual sum, each of its own type; ``kept``, if there is one, receives the statistics of each row
void norm_forward(int xhalf, int yhalf, void* x, const float* weight, const float* bias, void* residual, float eps, int64_t rows, int C,
                  void* out, Statistics* kept, int threads);

}
