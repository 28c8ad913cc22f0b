// What Python says of a model: sizes, constants, and where the numbers of each weight begin in a member's row of
// parameters (program.py lays out the same structures). A column of -1: the model has no such weight.
#pragma once

struct NormPlan {
    long gain, bias;
};

// A weight of a sum: a factor, times learned numbers: `count` 0 for none, 1 for a scalar, D for one per channel.
struct WeightPlan {
    double factor;
    long column, count;
};

// x' = N_out(skip · x + branch · N_branch(F(input_scale · N_in(x)))), F attention or the FFN.
struct SublayerPlan {
    long attention;
    NormPlan norm_in, norm_branch, norm_out;
    double input_scale;
    WeightPlan skip, branch;
    long weights[10];  // in the order of AttendWeights and FfnWeights
};

struct ModelPlan {
    long tokens, targets, vocabulary, width, heads, hidden, causal, activation, centred, tied, num_sublayers;
    double attention_scale, head_epsilon, norm_epsilon, embedding_scale, logit_scale;
    long token, position, head, head_bias;
    NormPlan last;
    const void *positions, *cosine, *sine;  // tables (tokens, D) and (tokens, K); null where there are none
    const SublayerPlan* sublayers;
};
