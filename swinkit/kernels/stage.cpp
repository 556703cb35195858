// A stage of the inference form in one call, and the cutting of pictures into patches. A stage is nothing but the order of the kernels'
// calls; from Python each of them costs more than some of them take.
#include "entries.hpp"
#include "vectors.hpp"

namespace {

struct Kernels {
    decltype(&dense_forward) dense;
    decltype(&attention_forward) attention;
    decltype(&norm_forward) norm;
};
struct Dense { const void* weights; const float* bias; int64_t inner, columns; };
struct Norm { const float *weight, *bias; };
struct Attention { const void* pad; const float *bias, *scale; int heads, padded, cosine; };
struct Block { Dense qkv, proj, fc1, fc2; Attention attention; Norm norms[3]; };  // a norm of null pointers has no scale and offset
struct Stage {
    int half, pre_norm, third_norm_every, merges;  // every how many blocks a third norm follows, 0: nowhere
    float eps;
    int64_t width;  // C
    Dense reduction;
    Norm merging;
    int64_t count;
    const Block* blocks;
    Grid grids[2];  // the regular one and the shifted
};

// x (rows, C) is what the residual sums go into. The rest is room: ``narrow`` and ``other`` for as much as x, ``wide`` for qkv, the MLP's
// hidden layer or merged patches.
struct Pass {
    const Kernels& kernels;
    const Stage& s;
    int64_t batch, tokens;
    void *x, *narrow, *other, *wide;
    int threads;
    int64_t rows() const { return batch * tokens; }

    void dense(const Dense& layer, const void* from, void* to, const void* residual = nullptr, bool gelu = false) const {
        kernels.dense(s.half, from, layer.weights, layer.bias, residual, gelu, rows(), layer.inner, layer.columns, to, nullptr, threads);
    }
    void norm(const Norm& norm, void* from, void* to, int64_t width, void* residual = nullptr) const {
        kernels.norm(s.half, s.half, from, norm.weight, norm.bias, residual, s.eps, rows(), width, to, nullptr, threads);
    }
    void attend(const Attention& a, const Grid& grid, const void* qkv, void* to) const {
        const Shape shape{batch, tokens, grid.windows, grid.window, a.heads, a.padded, a.cosine, (int)(s.width / a.heads)};
        kernels.attention(s.half, qkv, a.pad, a.bias, grid.index, grid.region, grid.mixed, a.scale, &shape, to, threads);
    }
    // version 1: x + attention(LN(x)), then x + MLP(LN(x)) (Swin, equation 3)
    void pre_norm(const Block& block, const Grid& grid) const {
        norm(block.norms[0], x, narrow, s.width);
        dense(block.qkv, narrow, wide);
        attend(block.attention, grid, wide, narrow);
        dense(block.proj, narrow, x, x);
        norm(block.norms[1], x, narrow, s.width);
        dense(block.fc1, narrow, wide, nullptr, true);
        dense(block.fc2, wide, x, x);
    }
    // version 2: x + LN(attention(x)), then x + LN(MLP(x)) (V2, figure 1)
    void post_norm(const Block& block, const Grid& grid) const {
        dense(block.qkv, x, wide);
        attend(block.attention, grid, wide, narrow);
        dense(block.proj, narrow, other);
        norm(block.norms[0], other, x, s.width, x);
        dense(block.fc1, x, wide, nullptr, true);
        dense(block.fc2, wide, narrow);
        norm(block.norms[1], narrow, x, s.width, x);
    }
    void blocks() const {
        for (int64_t index = 0; index < s.count; ++index) {
            const Block& block = s.blocks[index];
            (s.pre_norm ? pre_norm(block, s.grids[index % 2]) : post_norm(block, s.grids[index % 2]));
            if (s.third_norm_every && (index + 1) % s.third_norm_every == 0) norm(block.norms[2], x, x, s.width);
        }
    }
    // merged patches, in ``wide``, to tokens: the norm before the reduction in version 1, behind it in version 2
    void merge() const {
        if (s.pre_norm) norm(s.merging, wide, wide, s.reduction.inner);
        dense(s.reduction, wide, x);
        if (!s.pre_norm) norm(s.merging, x, x, s.width);
    }
};

// each 2x2 of a map (batch, height, width, bytes of a token), down first, side by side; beyond the map there are zeros
void merged(const char* from, int64_t batch, int64_t height, int64_t width, size_t bytes, char* to, int threads) {
    const int64_t rows = (height + 1) / 2, columns = (width + 1) / 2;
    in_parallel(batch * rows, threads, [&](int64_t first, int64_t last) {
        for (int64_t line = first; line < last; ++line)
            for (int64_t column = 0; column < columns; ++column)
                for (int part = 0; part < 4; ++part) {
                    const int64_t y = line % rows * 2 + part % 2, x = column * 2 + part / 2;
                    char* place = to + ((line * columns + column) * 4 + part) * bytes;
                    if (y < height && x < width) std::memcpy(place, from + ((line / rows * height + y) * width + x) * bytes, bytes);
                    else std::memset(place, 0, bytes);
                }
    });
}

// pictures (batch, channels, height, width) to patches (batch, rows columns, channels side side), zeros beyond the picture
template <typename T>
void cut(const float* pictures, int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t side, T* to, int threads) {
    const int64_t rows = (height + side - 1) / side, columns = (width + side - 1) / side, long_enough = columns * side + LANES;
    const int64_t apart = channels * side * side;  // from one patch to the next
    in_parallel(batch * rows, threads, [&](int64_t first, int64_t last) {
        std::vector<float> row(long_enough);
        std::vector<T> line(long_enough);
        for (int64_t at = first; at < last; ++at)
            for (int64_t part = 0; part < channels * side; ++part) {
                const int64_t channel = part / side, y = at % rows * side + part % side;
                if (y < height) std::copy_n(pictures + ((at / rows * channels + channel) * height + y) * width, width, row.begin());
                else std::fill(row.begin(), row.end(), 0.0f);
                for (int64_t x = 0; x < columns * side; x += LANES) store(&line[x], load(&row[x]));
                T* place = to + at * columns * apart + part * side;
                const auto spread = [&](auto bytes) {
                    for (int64_t column = 0; column < columns; ++column) std::memcpy(place + column * apart, &line[column * side], bytes);
                };
                switch (side * sizeof(T)) {  // the usual ones without a call for each
                    case 8: spread(std::integral_constant<size_t, 8>{}); break;
                    case 16: spread(std::integral_constant<size_t, 16>{}); break;
                    default: spread(side * sizeof(T));
                }
            }
    });
}

}  // namespace

extern "C" {

// x: tokens (batch, height, width, C), which become out, or, where the stage merges, of the map before, (batch, height, width, C of it);
// out is (batch, L, C). The rest is room, see Pass.
void stage_forward(const Kernels* kernels, const Stage* s, int64_t batch, int64_t height, int64_t width, const void* x, void* out,
                   void* narrow, void* other, void* wide, int threads) {
    const int64_t bytes = s->half ? 2 : 4, tokens = s->merges ? (height + 1) / 2 * ((width + 1) / 2) : height * width;
    const Pass pass{*kernels, *s, batch, tokens, out, narrow, other, wide, threads};
    if (s->merges) {
        merged(static_cast<const char*>(x), batch, height, width, s->reduction.inner / 4 * bytes, static_cast<char*>(wide), threads);
        pass.merge();
    }
    pass.blocks();
}

void cut_into_patches(int half, const float* pictures, int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t side,
                      void* out, int threads) {
    if (half) cut(pictures, batch, channels, height, width, side, static_cast<bfloat16*>(out), threads);
    else cut(pictures, batch, channels, height, width, side, static_cast<float*>(out), threads);
}

}
