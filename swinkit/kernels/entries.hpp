// The functions that a stage and a block call in the other sources: declared once, so that the compiler compares both sides.
#pragma once
#include <cstdint>

struct Shape {  // of window attention; also declared in attention.py
    int64_t batch, tokens, windows;
    int N, H, P, cosine, D;
    int64_t channels() const { return (int64_t)H * D; }
};
// Which tokens meet in each window, and which of them a shift parts: null pointers where there is none; also declared in attention.py.
struct Grid { const int32_t* index; const uint8_t *region, *mixed; int64_t windows; int window; };
struct Statistics { float mean, scale; };  // of a row that is normed

extern "C" {

// x (rows, inner) by packed weights to out (rows, columns); ``before``, if there is one, keeps what enters the GELU
void dense_forward(int half, const void* x, const void* weights, const float* bias, const void* residual, int gelu, int64_t rows,
                   int64_t inner, int64_t columns, void* out, void* before, int threads);
// gradient (rows, inner) by packed weights, then back through the GELU that ``entered`` (rows, columns) went through, whose answer
// ``activated`` receives
void dense_backward(int half, const void* gradient, const void* weights, const void* entered, int64_t rows, int64_t inner,
                    int64_t columns, void* out, void* activated, int threads);
// weights (columns, inner), or, where they are transposed, (inner, columns), in the order in which the two above read them
void dense_pack(int half, const float* weights, int64_t columns, int64_t inner, int transposed, void* packed, int threads);
// gradient (rows, outputs) and x (rows, inputs) to those of weights, out (outputs, inputs), and bias, sums (outputs)
void weight_gradient(int half, const void* gradient, const void* x, int64_t rows, int64_t outputs, int64_t inputs, float* out, float* sums,
                     int threads);
// 0 where a kernel knows the width of the heads, as from the next
int attention_forward(int half, const void* qkv, const void* pad, const float* bias, const int32_t* index, const uint8_t* region,
                      const uint8_t* mixed, const float* scale, const Shape* shape, void* out, int threads);
int attention_backward(int half, const void* qkv, const void* pad, const float* bias, const int32_t* index, const uint8_t* region,
                       const uint8_t* mixed, const float* scale, const Shape* shape, const void* gout, void* gqkv, float* gbias,
                       float* gpad, float* gscale, int threads);
// x (rows, C) and out, like the residual sum, each of its own type; ``kept``, if there is one, receives the statistics of each row
void norm_forward(int xhalf, int yhalf, void* x, const float* weight, const float* bias, void* residual, float eps, int64_t rows, int C,
                  void* out, Statistics* kept, int threads);
// gx and ``beside``, which is added to it, are of the type of x, gout of that of what the norm answered
void norm_backward(int xhalf, int yhalf, void* x, const float* weight, const Statistics* kept, void* gout, void* beside, int64_t rows,
                   int C, void* gx, float* gweight, float* gbias, int threads);
// out = x + y, of the type of x, in one pass, y times a factor for every ``apart`` numbers, a multiple of 16 like ``count``. Without x, y
// alone in that type; without factors they are 1.
void add(int xhalf, int yhalf, void* x, void* y, const float* factors, int64_t apart, int64_t count, void* out, int threads);

}
