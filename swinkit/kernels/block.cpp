// A block while it learns, forward and back in a call each. It is nothing but the order of the kernels' calls; from Python, where torch also
// keeps account of what follows what, they cost as much as the kernels of a small network take.
#include "entries.hpp"
#include <algorithm>

namespace {

struct Kernels {
    decltype(&dense_pack) pack;
    decltype(&dense_forward) dense;
    decltype(&dense_backward) dense_back;
    decltype(&weight_gradient) weights;
    decltype(&attention_forward) attention;
    decltype(&attention_backward) attention_back;
    decltype(&norm_forward) norm;
    decltype(&norm_backward) norm_back;
    decltype(&add) sum;
};
// ``grad_…`` receive gradients on the way back: those of a linear layer are null pointers where it is frozen, the others are always written
struct Linear { const float *weight, *bias; int64_t inner, columns; float *grad_weight, *grad_bias; };
struct Norm { const float *weight, *bias; float eps; float *grad_weight, *grad_bias; };
struct Attention {
    const void* pad;
    const float *bias, *scale;
    int heads, padded, cosine;
    float *grad_pad, *grad_bias, *grad_scale;
};
struct Block {
    int wide, half, pre_norm;  // types: of the main path, of what layers compute with
    int64_t batch, tokens, width;
    Attention attention;
    Grid grid;
    Linear qkv, proj, fc1, fc2;
    Norm norms[2];
    const float* factors[2];  // of each branch, one per picture, or null pointers
    char *kept, *room;  // from one call to the other, and during each
};

// memory handed out piece by piece, a number of columns for each row
struct Pieces {
    char* at;
    int64_t rows;
    char* take(int64_t columns, int half) {
        char* const found = at;
        at += rows * columns * (half ? 2 : 4);
        return found;
    }
};

struct Pass {
    const Kernels& call;
    const Block& b;
    const int threads;
    const int64_t rows = b.batch * b.tokens, hidden = b.fc1.columns;
    const bool rounds = b.wide != b.half;
    // what is kept: what the norms know of each row, what enters a layer, and in version 2, where a norm follows, what it answers
    Statistics* statistics;
    char *joint, *attended, *before, *middle, *entered[2], *answered[2], *kept_end;
    // room: on the way back gradients of what stands in the names
    char *packed, *activated, *answer, *to_before, *to_attended, *to_joint, *to_entered, *to_answered, *to_middle, *room_end;

    Pass(const Kernels& call, const Block& b, int threads) : call(call), b(b), threads(threads) {
        Pieces kept{b.kept, rows}, room{b.room, 1};
        statistics = reinterpret_cast<Statistics*>(kept.take(2 * sizeof(Statistics) / sizeof(float), false));
        joint = kept.take(3 * b.width, b.half);
        attended = kept.take(b.width, b.half);
        before = kept.take(hidden, b.half);
        for (int branch = 0; branch < 2; ++branch) {
            entered[branch] = b.pre_norm || rounds ? kept.take(b.width, b.half) : nullptr;
            answered[branch] = b.pre_norm ? nullptr : kept.take(b.width, b.half);
        }
        packed = room.take(std::max(3 * b.width, hidden) * b.width, b.half);
        room.rows = rows;
        middle = (b.pre_norm || !rounds ? kept : room).take(b.width, b.wide);  // what only layers read they read rounded
        answer = to_middle = room.take(b.width, b.wide && b.half);  // as large as either type
        kept_end = kept.at;
        to_entered = room.take(b.width, b.half);
        to_answered = room.take(b.width, b.half);
        Pieces other = room;  // the branches take turns with what follows
        activated = room.take(hidden, b.half);
        to_before = room.take(hidden, b.half);
        to_attended = other.take(b.width, b.half);
        to_joint = other.take(3 * b.width, b.half);
        room_end = std::max(room.at, other.at);
    }

    void linear(const Linear& layer, const void* from, void* to, const void* residual = nullptr, void* before = nullptr) const {
        call.pack(b.half, layer.weight, layer.columns, layer.inner, false, packed, threads);
        call.dense(b.half, from, packed, layer.bias, residual, before != nullptr, rows, layer.inner, layer.columns, to, before, threads);
    }
    void learn(const Linear& layer, const void* gradient, const void* from) const {
        if (!layer.grad_weight) return;
        call.weights(b.half, gradient, from, rows, layer.columns, layer.inner, layer.grad_weight, layer.grad_bias, threads);
    }
    void pack_for_back(const Linear& layer) const {
        call.pack(b.half, layer.weight, layer.inner, layer.columns, true, packed, threads);
    }
    void back(const Linear& layer, const void* gradient, const void* from, void* to) const {
        learn(layer, gradient, from);
        pack_for_back(layer);
        call.dense(b.half, gradient, packed, nullptr, nullptr, false, rows, layer.columns, layer.inner, to, nullptr, threads);
    }

    Shape shape() const {
        const Attention& a = b.attention;
        return {b.batch, b.tokens, b.grid.windows, b.grid.window, a.heads, a.padded, a.cosine, (int)(b.width / a.heads)};
    }
    void attention(const void* from, void* to, const void* residual) const {
        const Attention& a = b.attention;
        const Shape s = shape();
        linear(b.qkv, from, joint);
        call.attention(b.half, joint, a.pad, a.bias, b.grid.index, b.grid.region, b.grid.mixed, a.scale, &s, attended, threads);
        linear(b.proj, attended, to, residual);
    }
    void attention_back(const void* gradient, const void* from, void* to) const {
        const Attention& a = b.attention;
        const Shape s = shape();
        back(b.proj, gradient, attended, to_attended);
        call.attention_back(b.half, joint, a.pad, a.bias, b.grid.index, b.grid.region, b.grid.mixed, a.scale, &s, to_attended, to_joint,
                            a.grad_bias, a.grad_pad, a.grad_scale, threads);
        back(b.qkv, to_joint, from, to);
    }
    void mlp(const void* from, void* to, const void* residual) const {
        linear(b.fc1, from, activated, nullptr, before);
        linear(b.fc2, activated, to, residual);
    }
    void mlp_back(const void* gradient, const void* from, void* to) const {
        pack_for_back(b.fc2);
        call.dense_back(b.half, gradient, packed, before, rows, b.width, hidden, to_before, activated, threads);
        learn(b.fc2, gradient, activated);
        back(b.fc1, to_before, from, to);
    }
    void layer(int branch, const void* from, void* to, const void* residual = nullptr) const {
        branch ? mlp(from, to, residual) : attention(from, to, residual);
    }
    void layer_back(int branch, const void* gradient, const void* from, void* to) const {
        branch ? mlp_back(gradient, from, to) : attention_back(gradient, from, to);
    }

    void norm(int branch, int from_half, void* from, int to_half, void* to, void* residual = nullptr) const {
        const Norm& n = b.norms[branch];
        call.norm(from_half, to_half, from, n.weight, n.bias, residual, n.eps, rows, b.width, to, statistics + branch * rows, threads);
    }
    void norm_back(int branch, int from_half, void* from, int to_half, void* gradient, void* beside, void* to) const {
        const Norm& n = b.norms[branch];
        call.norm_back(from_half, to_half, from, n.weight, statistics + branch * rows, gradient, beside, rows, b.width, to, n.grad_weight,
                       n.grad_bias, threads);
    }
    void sum(int half, void* x, int yhalf, void* y, const float* factors, void* to) const {
        call.sum(half, yhalf, x, y, factors, b.tokens * b.width, rows * b.width, to, threads);
    }

    // version 1: x + layer(LN(x)) (Swin, equation 3)
    void pre_norm(int branch, void* x, void* to) const {
        norm(branch, b.wide, x, b.half, entered[branch]);
        if (!rounds && !b.factors[branch]) return layer(branch, entered[branch], to, x);
        layer(branch, entered[branch], answer);
        sum(b.wide, x, b.half, answer, b.factors[branch], to);
    }
    void pre_norm_back(int branch, void* x, void* gradient, void* to) const {
        void* towards = gradient;
        if (rounds || b.factors[branch]) sum(b.half, nullptr, b.wide, gradient, b.factors[branch], towards = to_answered);
        layer_back(branch, towards, entered[branch], to_entered);
        norm_back(branch, b.wide, x, b.half, to_entered, gradient, to);
    }
    // version 2: x + LN(layer(x)) (V2, figure 1)
    void post_norm(int branch, void* x, void* to) const {
        if (rounds) sum(b.half, nullptr, b.wide, x, nullptr, entered[branch]);
        layer(branch, rounds ? entered[branch] : x, answered[branch]);
        if (!b.factors[branch]) return norm(branch, b.half, answered[branch], b.wide, to, x);
        norm(branch, b.half, answered[branch], b.wide, answer);
        sum(b.wide, x, b.wide, answer, b.factors[branch], to);
    }
    void post_norm_back(int branch, void* x, void* gradient, void* to) const {
        void* towards = gradient;
        if (b.factors[branch]) sum(b.wide, nullptr, b.wide, gradient, b.factors[branch], towards = to);
        norm_back(branch, b.half, answered[branch], b.wide, towards, nullptr, to_answered);
        layer_back(branch, to_answered, rounds ? entered[branch] : x, to_entered);
        sum(b.wide, gradient, b.half, to_entered, nullptr, to);
    }
};

}  // namespace

extern "C" {

// bytes of what is kept, and of the room, whichever of both calls wants more
void block_sizes(const Block* block, int64_t* kept, int64_t* room) {
    const Pass pass({}, *block, 1);
    *kept = pass.kept_end - block->kept, *room = pass.room_end - block->room;
}

// x and out are tokens (batch, tokens, width)
void block_forward(const Kernels* kernels, const Block* block, void* x, void* out, int threads) {
    const Pass pass(*kernels, *block, threads);
    const auto branch = block->pre_norm ? &Pass::pre_norm : &Pass::post_norm;
    (pass.*branch)(0, x, pass.middle);
    (pass.*branch)(1, pass.middle, out);
}

// the gradient of out to that of x, and to those of all that learns
void block_backward(const Kernels* kernels, const Block* block, void* x, void* gradient, void* grad_x, int threads) {
    const Pass pass(*kernels, *block, threads);
    const auto branch = block->pre_norm ? &Pass::pre_norm_back : &Pass::post_norm_back;
    (pass.*branch)(1, pass.middle, gradient, pass.to_middle);
    (pass.*branch)(0, x, pass.to_middle, grad_x);
    if (block->qkv.bias && block->qkv.grad_bias)  // which is also what attention meets at tokens of the padding
        for (int64_t c = 0; c < 3 * block->width; ++c) block->qkv.grad_bias[c] += block->attention.grad_pad[c];
}

}
