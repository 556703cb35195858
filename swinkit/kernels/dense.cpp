// Linear layers: x Wᵀ + b, then GELU or the residual sum, with weights packed into panels of a few vectors' width; and, on the way back
// through the layer behind a GELU, the way back through the GELU in the same pass.
// A tile of rows by a panel of columns stays in registers while the inner dimension passes by. Each sum runs in the order of that
// dimension, so that an answer depends neither on the batch it came in nor on the number of threads.
#include "entries.hpp"
#include "gelu.hpp"
#include "packing.hpp"

namespace {

constexpr int64_t CACHED = 400'000;  // bytes of x that stay in the second cache while panels of weights pass by

struct Extent { int64_t rows, steps, columns; };
template <typename U, typename T = typename U::number> struct Operands {
    const typename U::cell *x, *weights;
    const float* bias;
    const T* residual;
    bool gelu;
    T* out;
    T* before;  // where what enters the GELU is kept, if anywhere
    // on the way back: what entered the GELU; out receives the gradient there, ``activated`` gelu(entered)
    const T* entered;
    T* activated;
};

// A tile's ``sums`` are the gradient of what left the GELU. Not unrolled: each vector is work enough.
template <typename U, int R, int V> void back(const Operands<U>& in, int64_t columns, int64_t corner, const vec (&sums)[R][V]) {
    using T = typename U::number;
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) {
            const int64_t at = corner + r * columns + v * LANES;
            const Both gelu = gelu_and_slope<T>(load(in.entered + at));
            store(in.activated + at, gelu.value);
            store(in.out + at, sums[r][v] * gelu.slope);
        }
}

// ``ahead`` is fetched meanwhile, a vector a step: weights come from far away, and by themselves they are met at each panel's begin.
template <typename U, int R, int V>
void tile(const Operands<U>& in, const Extent& s, int64_t row, int64_t column, const typename U::cell* ahead) {
    using T = typename U::number;
    const int64_t steps = s.steps, columns = s.columns, corner = row * columns + column;
    const typename U::cell *x = in.x + row * steps, *weights = in.weights + column * steps;
    if (in.entered)
        for (int r = 0; r < R; ++r)
            for (int64_t c = 0; c < V * LANES; c += 64 / (int64_t)sizeof(T)) __builtin_prefetch(in.entered + corner + r * columns + c);
    vec sums[R][V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        const vec bias = in.bias ? load(in.bias + column + v * LANES) : vec{};
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sums[r][v] = bias;
    }
    int64_t step = 0;
    do {  // tested at its end, the loop leaves the sums in their registers
        __builtin_prefetch(ahead, 0, 2);
        add_step<U>(sums, [&](int r) { return x[r * steps + step]; }, weights);
        weights += V * LANES, ahead += LANES;
    } while (++step < steps);
    const auto finish = [&](auto answer) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                const int64_t at = corner + r * columns + v * LANES;
                store(in.out + at, answer(sums[r][v], at));
            }
    };
    if (in.entered) {
        vec kept[R][V];  // a copy, so that the sums themselves need no address and stay in registers
        std::memcpy(kept, sums, sizeof kept);
        back<U, R, V>(in, columns, corner, kept);
    } else if (in.before) finish([&](vec sum, int64_t at) { store(in.before + at, sum); return gelu<T>(sum); });
    else if (in.gelu) finish([](vec sum, int64_t) { return gelu<T>(sum); });
    else if (in.residual) finish([&](vec sum, int64_t at) { return sum + load(in.residual + at); });
    else finish([](vec sum, int64_t) { return sum; });
}

// tile<U, R, V> by its numbers of rows and vectors
template <typename U, int V, int... R> auto tile_of(int rows, std::integer_sequence<int, R...>) {
    static constexpr decltype(&tile<U, 1, 1>) known[] = {&tile<U, R + 1, V>...};
    return known[rows - 1];
}
template <typename U, int V = VECTORS> auto tile_of(int rows, int vectors) {
    if constexpr (V > 1) { if (vectors < V) return tile_of<U, V - 1>(rows, vectors); }
    return tile_of<U, V>(rows, std::make_integer_sequence<int, ROWS>{});
}

// In blocks of rows that stay in the cache every panel, in each every tile. Threads take equal shares of that order: many rows are
// parted by rows, few by columns, and then no weight is read twice.
template <typename U> void product(const Operands<U>& in, const Extent& s, int threads) {
    const int64_t panels = (s.columns + WIDTH - 1) / WIDTH, tiles = (s.rows + ROWS - 1) / ROWS;
    const int64_t touched = in.entered ? 3 : in.residual || in.before ? 2 : 1;  // arrays as wide as the answer
    const int64_t bytes = s.steps * sizeof(typename U::cell) + s.columns * sizeof(typename U::number) * touched;
    const int64_t fitting = std::max<int64_t>(1, CACHED / (ROWS * bytes));
    const int64_t block = s.columns > s.rows ? tiles : std::min(tiles, fitting);
    if (!tiles || !panels) return;
    const int64_t height = s.rows / tiles, higher = s.rows % tiles;  // of a tile; the first ones are a row higher
    const auto row_of = [&](int64_t tile) { return tile * height + std::min(tile, higher); };
    in_parallel(tiles * panels, threads, [&](int64_t first, int64_t last) {
        // counted on, since a division takes as long as a third of a small tile
        int64_t begin = first / (block * panels) * block, high = std::min(block, tiles - begin);  // of this block, in tiles
        int64_t turn = (first - begin * panels) % high, index = (first - begin * panels) / high;
        Panel now = panel(index, s.columns), next = panel(std::min(index + 1, panels - 1), s.columns);
        for (int64_t task = first; task < last; ++task) {
            const int64_t row = row_of(begin + turn), count = row_of(begin + turn + 1) - row;
            const auto* ahead = in.weights + (next.column + (turn < VECTORS ? turn : 0) * LANES) * s.steps;
            tile_of<U>(count, now.width / LANES)(in, s, row, now.column, ahead);
            if (++turn < high) continue;
            turn = 0;
            if (++index == panels) index = 0, begin += high, high = std::min(block, tiles - begin);
            now = panel(index, s.columns), next = panel(std::min(index + 1, panels - 1), s.columns);
        }
    });
}

}  // namespace

extern "C" {

int dense_lanes([[maybe_unused]] int half) {  // columns of a vector; 0 where this processor is better served otherwise
#if defined(__AVX512BF16__)
    return LANES;
#elif defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
    return half ? 0 : LANES;
#else
    return 0;
#endif
}

// weights (columns, inner), or, where they are transposed, (inner, columns)
void dense_pack(int half, const float* weights, int64_t columns, int64_t inner, int transposed, void* packed, int threads) {
    with_unit(half, [&](auto U) {
        const auto way = transposed ? pack_transposed<decltype(U)> : pack<decltype(U)>;
        way(weights, columns, inner, static_cast<typename decltype(U)::cell*>(packed), threads);
    });
}

void dense_forward(int half, const void* x, const void* weights, const float* bias, const void* residual, int gelu, int64_t rows,
                   int64_t inner, int64_t columns, void* out, void* before, int threads) {
    with_unit(half, [&](auto U) {
        using T = typename decltype(U)::number; using C = typename decltype(U)::cell;
        product<decltype(U)>({static_cast<const C*>(x), static_cast<const C*>(weights), bias, static_cast<const T*>(residual), gelu != 0,
                              static_cast<T*>(out), static_cast<T*>(before)},
                             {rows, inner / U.STEP, columns}, threads);
    });
}

// gradient (rows, inner) by weights, then back through the GELU that ``entered`` (rows, columns) went through
void dense_backward(int half, const void* gradient, const void* weights, const void* entered, int64_t rows, int64_t inner,
                    int64_t columns, void* out, void* activated, int threads) {
    with_unit(half, [&](auto U) {
        using T = typename decltype(U)::number; using C = typename decltype(U)::cell;
        product<decltype(U)>({static_cast<const C*>(gradient), static_cast<const C*>(weights), nullptr, nullptr, false,
                              static_cast<T*>(out), nullptr, static_cast<const T*>(entered), static_cast<T*>(activated)},
                             {rows, inner / U.STEP, columns}, threads);
    });
}

}
