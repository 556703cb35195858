// Window attention of Swin V1 and V2, forward and backward, over tokens that stay where they are.
//
// A table of row numbers says which tokens meet in a window, so nothing is padded, rolled, partitioned or put back: the shift is in
// the table, and a token of the padding (row -1) is the bias of the joint projection, which is what both versions feed to attention
// there. Tokens are float32 or bfloat16. Sums and the softmax are float32; factors are too, unless the processor multiplies bfloat16
// (cells.hpp). GCC's vector extensions make of it what the processor has.
//
// Shapes: B batch, L tokens of a map, W windows, N tokens per window, H heads, D channels of a head, C = H D.
//   qkv (B, L, 3, H, D)   pad (3, H, D)   index (W, N)   region (W, N)   mixed (W)   bias (H, N, P), P = N rounded up to whole vectors
#include "cells.hpp"
#include "entries.hpp"

namespace {

constexpr float MASKED = -100.0f, NOWHERE = -1e30f;

template <typename T> struct Operands {
    const T* qkv; const T* pad; const float* bias; const int32_t* index; const uint8_t* region; const uint8_t* mixed;
    const float* scale;  // (H): what queries are multiplied by
};

// copy or widen
template <int D, typename T> void take(const T* from, T* to) { std::memcpy(to, from, D * sizeof(T)); }
template <int D> void take(const bfloat16* from, float* to) { for (int c = 0; c < D; c += LANES) store(to + c, load(from + c)); }

// What one window and head needs, zero beyond N. A logit is q k times q_factor of its row and k_factor of its column.
template <typename U, int D> struct Window {
    using number = typename U::number;
    using cell = typename U::cell;
    const Shape& s;
    const int N, P;
    Buffer<number> q, k, v;
    Buffer<cell> other;  // the second factor of a product: a transpose, or grouped rows
    Buffer<float> p, most, share, q_factor, k_factor, regions;
    explicit Window(const Shape& s)
        : s(s), N(s.N), P(s.P), q(P * D), k(P * D), v(P * D), other(P * D), p((size_t)P * P), most(P), share(P), q_factor(P),
          k_factor(P), regions(P) {}

    template <typename T> void gather(const Operands<T>& in, int64_t b, int64_t w, int h) {
        const int64_t C = s.channels();
        for (int t = 0; t < N; ++t) {
            const int32_t row = in.index[w * N + t];
            const T* token = (row < 0 ? in.pad : in.qkv + (b * s.tokens + row) * 3 * C) + h * D;
            take<D>(token, q + t * D); take<D>(token + C, k + t * D); take<D>(token + 2 * C, v + t * D);
            q_factor[t] = s.cosine ? in.scale[h] / length(q + t * D) : in.scale[h];
            k_factor[t] = s.cosine ? 1 / length(k + t * D) : 1;
        }
    }
    // |x|, and 1 for a zero vector, which stays as it is
    static float length(const number* x) {
        vec squares = {};
        for (int c = 0; c < D; c += LANES) squares += load(x + c) * load(x + c);
        const float found = std::sqrt(sum(squares));
        return found == 0 ? 1 : found;
    }
    // p = softmax(q kᵀ + bias + mask), rows of P, zero beyond N; each row still to be multiplied by its share
    template <typename T> void attend(const Operands<T>& in, int64_t w, int h) {
        transposed<U, D>(k, other, P);
        product<U, D>(q, other, N, P, p);
        const bool mixed = in.mixed && in.mixed[w];
        if (mixed) for (int t = 0; t < N; ++t) regions[t] = in.region[w * N + t];
        // two passes over all rows, so that neither waits at the end of each row
        for (int row = 0; row < N; ++row) most[row] = bound(in.bias + ((size_t)h * N + row) * P, mixed, row);
        for (int row = 0; row < N; ++row) share[row] = 1 / raise(p + (size_t)row * P, most[row]);
    }
    // logits of a row from products; their maximum
    float bound(const float* bias, bool mixed, int row) {
        float* logits = p + (size_t)row * P;
        vec most = broadcast(NOWHERE);
        for (int c = 0; c < P; c += LANES) {
            vec x = load(logits + c) * (load(k_factor + c) * q_factor[row]) + load(bias + c);
            if (mixed) x += (vec)((load(regions + c) != regions[row]) & (ivec)broadcast(MASKED));
            store(logits + c, x);
            most = larger(most, x);
        }
        return maximum(most)[0];
    }
    // e to the logits of a row, in place; their sum
    float raise(float* logits, float most) {
        vec all = {};
        for (int c = 0; c < P; c += LANES) {
            const vec x = exponential(load(logits + c) - most);
            store(logits + c, x);
            all += x;
        }
        return sum(all);
    }
    // numbers into a row of cells
    static void put(cell* row, int column, vec x) { store(reinterpret_cast<number*>(row) + column, x); }
    // out (N, D) = weights times the rows of b, which are grouped for that
    void sum_rows(const cell* weights, int across, int along, const number* b, float* out) {
        grouped<U, D>(b, other, N);
        weighted<U, D>(weights, across, along, other, N, out);
    }
};

template <typename U, int D, typename T> void forward(const Operands<T>& in, const Shape& s, T* out, int threads) {
    in_parallel(s.batch * s.windows * s.H, threads, [&](int64_t first, int64_t last) {
        Window<U, D> win(s);
        Buffer<typename U::cell> weights((size_t)s.P * s.P);
        Buffer<float> o(s.P * D);
        const int across = s.P / U::STEP;
        for (int64_t task = first; task < last; ++task) {
            const int h = task % s.H;
            const int64_t w = task / s.H % s.windows, b = task / s.H / s.windows;
            win.gather(in, b, w, h);
            win.attend(in, w, h);
            for (int row = 0; row < s.N; ++row)
                for (int c = 0; c < s.P; c += LANES) win.put(weights + row * across, c, load(win.p + row * s.P + c));
            win.sum_rows(weights, across, 1, win.v, o);
            for (int t = 0; t < s.N; ++t) {
                const int32_t row = in.index[w * s.N + t];
                if (row < 0) continue;
                T* to = out + (b * s.tokens + row) * s.channels() + h * D;
                for (int c = 0; c < D; c += LANES) store(to + c, load(o + t * D + c) * win.share[t]);
            }
        }
    });
}

// gradient of x given that of u = x / |x|, in place
template <int D> void through_unit(float* gradient, const float* u, float length) {
    vec along = {};
    for (int c = 0; c < D; c += LANES) along += load(gradient + c) * load(u + c);
    const float projection = sum(along);
    for (int c = 0; c < D; c += LANES) store(gradient + c, (load(gradient + c) - projection * load(u + c)) * (1 / length));
}

// What the pass back needs beside the window: gradients (g) of what is written after it.
template <typename U, int D> struct Back : Window<U, D> {
    using Base = Window<U, D>;
    using Base::N, Base::P, Base::q, Base::k, Base::v, Base::p, Base::other, Base::share, Base::q_factor, Base::k_factor;
    Buffer<typename U::number> go;
    Buffer<float> gs, gq, gk, gv;
    Buffer<typename U::cell> by_row, by_column, seen;  // g of the logits times k_factor, and grouped times q_factor; p grouped
    explicit Back(const Shape& s)
        : Base(s), go(P * D), gs((size_t)P * P), gq(P * D), gk(P * D), gv(P * D), by_row((size_t)P * P), by_column((size_t)P * P),
          seen((size_t)P * P) {}

    // through the softmax, gs = p (gp - sum over p gp), and on to queries, keys and values; total (N, P) gathers gs
    void back(float* total) {
        transposed<U, D>(v, other, P);
        product<U, D>(go, other, N, P, gs);
        const int whole = N / U::STEP * U::STEP;
        for (int row = 0; row < whole; row += U::STEP) through_softmax<U::STEP>(row, total);
        if (whole < N) through_softmax<1>(whole, total);
        this->sum_rows(by_row, P / U::STEP, 1, k, gq);
        this->sum_rows(by_column, 1, P, q, gk);
        this->sum_rows(seen, 1, P, go, gv);
    }
    template <int ROWS> void through_softmax(int first, float* total) {  // of a group, which the last one need not fill
        float mean[U::STEP];
        for (int r = 0; r < ROWS; ++r) {
            const size_t at = (size_t)(first + r) * P;
            vec along = {};
            for (int c = 0; c < P; c += LANES) along += load(gs + at + c) * load(p + at + c);
            mean[r] = sum(along) * share[first + r];
        }
        for (int c = 0; c < P; c += LANES) {
            vec g[U::STEP] = {}, shares[U::STEP] = {};
            for (int r = 0; r < ROWS; ++r) {
                const size_t at = (size_t)(first + r) * P;
                shares[r] = load(p + at + c) * share[first + r];
                g[r] = shares[r] * (load(gs + at + c) - mean[r]);
                store(total + at + c, load(total + at + c) + g[r]);
                this->put(by_row + at / U::STEP, c, g[r] * load(k_factor + c));
                g[r] *= q_factor[first + r];
            }
            store_cells<U>(by_column + first / U::STEP * P + c, U::group(g[0], g[U::STEP - 1]));
            store_cells<U>(seen + first / U::STEP * P + c, U::group(shares[0], shares[U::STEP - 1]));
        }
    }
    // scale's gradient, and for cosines through the lengths, all for the query and the key of one token
    void finish(int t, float scale, float& gscale) {
        float unit[D];
        const auto normal = [&](const typename U::number* from, float factor) {
            for (int c = 0; c < D; c += LANES) store(unit + c, load(from + c) * factor);
        };
        normal(q + t * D, q_factor[t] / scale);
        vec along = {};
        for (int c = 0; c < D; c += LANES) {
            along += load(gq + t * D + c) * load(unit + c);
            store(gq + t * D + c, load(gq + t * D + c) * scale);
        }
        gscale += sum(along);
        if (!this->s.cosine) return;
        through_unit<D>(gq + t * D, unit, scale / q_factor[t]);
        normal(k + t * D, k_factor[t]);
        through_unit<D>(gk + t * D, unit, 1 / k_factor[t]);
    }
};

template <typename U, int D, typename T>
void backward(const Operands<T>& in, const Shape& s, const T* gout, T* gqkv, float* gbias, float* gpad, float* gscale, int threads) {
    const int64_t C = s.channels();
    const int N = s.N, P = s.P;
    const int64_t pads = (int64_t)s.H * N * P, scales = pads + 3 * C;  // where the sums of these begin, behind those of the bias
    const auto total = summed(s.batch * s.windows * s.H, threads, scales + s.H, [&](int64_t first, int64_t last, float* own) {
        Back<U, D> win(s);
        const typename U::number nothing[D] = {};
        for (int64_t task = first; task < last; ++task) {
            const int h = task % s.H;
            const int64_t w = task / s.H % s.windows, b = task / s.H / s.windows;
            const int32_t* rows = in.index + w * N;
            win.gather(in, b, w, h);
            win.attend(in, w, h);
            for (int t = 0; t < N; ++t)
                if (rows[t] < 0) take<D>(nothing, win.go + t * D);
                else take<D>(gout + (b * s.tokens + rows[t]) * C + h * D, win.go + t * D);
            win.back(own + (size_t)h * N * P);
            for (int t = 0; t < N; ++t) {
                win.finish(t, in.scale[h], own[scales + h]);
                const float* parts[3] = {win.gq + t * D, win.gk + t * D, win.gv + t * D};
                for (int part = 0; part < 3; ++part)
                    for (int c = 0; c < D; c += LANES) {
                        const int64_t at = part * C + h * D + c;
                        if (rows[t] < 0) store(own + pads + at, load(own + pads + at) + load(parts[part] + c));
                        else store(gqkv + (b * s.tokens + rows[t]) * 3 * C + at, load(parts[part] + c));
                    }
            }
        }
    });
    for (int64_t row = 0; row < (int64_t)s.H * N; ++row) std::copy_n(&total[row * P], N, gbias + row * N);
    std::copy_n(&total[pads], 3 * C, gpad);
    std::copy_n(&total[scales], s.H, gscale);
}

template <typename T> Operands<T> operands(const void* qkv, const void* pad, const float* bias, const int32_t* index,
                                           const uint8_t* region, const uint8_t* mixed, const float* scale) {
    return {static_cast<const T*>(qkv), static_cast<const T*>(pad), bias, index, region, mixed, scale};
}

// call with what products multiply, the type of the tokens and the width of a head; 0 where that is one of these
template <typename Call> int dispatch(int half, int D, Call call) {
    const auto width = [&](auto D) {
#if defined(__AVX512BF16__)
        if constexpr (D / Pair::STEP >= LANES)
            if (half) return call(Pair{}, bfloat16{}, D), 0;
#endif
        if (half) call(Single{}, bfloat16{}, D); else call(Single{}, float{}, D);
        return 0;
    };
    switch (D) {
        case 16: return width(std::integral_constant<int, 16>{});
        case 32: return width(std::integral_constant<int, 32>{});
        case 64: return width(std::integral_constant<int, 64>{});
    }
    return 1;
}

}  // namespace

extern "C" {

int lanes() { return LANES; }

int team() {  // how many threads OpenMP would use: torch's number, where its OpenMP is ours
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

int attention_forward(int half, const void* qkv, const void* pad, const float* bias, const int32_t* index, const uint8_t* region,
                      const uint8_t* mixed, const float* scale, const Shape* s, void* out, int threads) {
    return dispatch(half, s->D, [&](auto U, auto T, auto D) {
        using number = decltype(T);
        forward<decltype(U), D>(operands<number>(qkv, pad, bias, index, region, mixed, scale), *s, static_cast<number*>(out), threads);
    });
}

int attention_backward(int half, const void* qkv, const void* pad, const float* bias, const int32_t* index, const uint8_t* region,
                       const uint8_t* mixed, const float* scale, const Shape* s, const void* gout, void* gqkv, float* gbias,
                       float* gpad, float* gscale, int threads) {
    return dispatch(half, s->D, [&](auto U, auto T, auto D) {
        using number = decltype(T);
        backward<decltype(U), D>(operands<number>(qkv, pad, bias, index, region, mixed, scale), *s, static_cast<const number*>(gout),
                                 static_cast<number*>(gqkv), gbias, gpad, gscale, threads);
    });
}

}
