/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"
#include "lib/simd/matmul.h"

/*
 * Convolution over 1 to 3 axes, with stride, padding, dilation, groups, and transposed.
 *
 * A convolution relates an image (channels over places) to a map (channels over other places): a
 * place of the map sees a window of the image. With the windows laid out as rows, patches[place]
 * [channel of the image, place in the window], it is map = weight patches^T. A transposed one is
 * the same relation with input and output exchanged, and its weight lies in memory in the same way,
 * [channels of the map][channels of the image / groups][window]. So:
 *
 *   map known       d_image += fold(d_map^T weight)            d_weight += d_map patches(image)
 *   image known     d_map   += weight patches(d_image)^T       d_weight += map patches(d_image)
 *
 * Value mode: shares of the outputs are divided by the outputs (eps rule), carried back like a
 * gradient, and multiplied by the input; the bias keeps what is its own. Gradient and change mode:
 * the same carrying back, with the mean of both sides of weight and input, which is exact for a
 * product of two (ALGORITHMS: change mode of a linear operation).
 *
 * Places are worked through in blocks, so that patches stay in the cache.
 */

enum { AXES = 3, BLOCK_ELEMENTS = 1 << 18, FEW_CHANNELS = 4 };

/* The relation of image and map, axes missing in front have length 1. */
struct relation {
    int64_t n; /* samples */
    int64_t groups;
    int64_t image_channels; /* of one group */
    int64_t map_channels;   /* of one group */
    int64_t image[AXES];
    int64_t map[AXES];
    int64_t window[AXES];
    int64_t stride[AXES];
    int64_t padding[AXES];
    int64_t dilation[AXES];
    int64_t image_places; /* product of image */
    int64_t map_places;
    int64_t patch; /* image_channels times the product of window */
    bool is_transposed;
};

/* Everything that one operation has. */
struct conv {
    struct relation relation;
    struct credit_sides input, weight, bias, output;
};

static int64_t product(const int64_t x[AXES])
{
    return x[0] * x[1] * x[2];
}

/* Where the window of a place begins, as depth, height and width of the image. */
static void find_corner(const struct relation *r, int64_t place, int64_t out[AXES])
{
    out[0] = place / (r->map[1] * r->map[2]) * r->stride[0] - r->padding[0];
    out[1] = place / r->map[2] % r->map[1] * r->stride[1] - r->padding[1];
    out[2] = place % r->map[2] * r->stride[2] - r->padding[2];
}

/* Where in the image the line lies that is the row-th of a window; -1: outside of it. */
static int64_t find_line(const struct relation *r, const int64_t corner[AXES], int64_t row)
{
    const int64_t channel = row / (r->window[0] * r->window[1]);
    const int64_t d = corner[0] + row / r->window[1] % r->window[0] * r->dilation[0];
    const int64_t h = corner[1] + row % r->window[1] * r->dilation[1];
    if (d < 0 || d >= r->image[0] || h < 0 || h >= r->image[1]) {
        return -1;
    }
    return channel * r->image_places + (d * r->image[1] + h) * r->image[2];
}

/* Write the windows of places [begin, end) as rows. */
static void take_patches(
    const struct relation *r, const float *image, int64_t begin, int64_t end, float *out)
{
    const int64_t n_lines = r->image_channels * r->window[0] * r->window[1];
    int64_t corner[AXES];
    for (int64_t place = begin; place < end; place++) {
        find_corner(r, place, corner);
        for (int64_t row = 0; row < n_lines; row++) {
            const int64_t line = find_line(r, corner, row);
            int64_t w = corner[2];
            for (int64_t k = 0; k < r->window[2]; k++, w += r->dilation[2]) {
                *out++ = line >= 0 && w >= 0 && w < r->image[2] ? image[line + w] : 0;
            }
        }
    }
}

/* Add rows back to where take_patches would have taken them. */
static void fold_patches(const struct relation *r, const float *patches, int64_t begin,
    int64_t end, float *image)
{
    const int64_t n_lines = r->image_channels * r->window[0] * r->window[1];
    int64_t corner[AXES];
    for (int64_t place = begin; place < end; place++) {
        find_corner(r, place, corner);
        for (int64_t row = 0; row < n_lines; row++, patches += r->window[2]) {
            const int64_t line = find_line(r, corner, row);
            int64_t w = corner[2];
            for (int64_t k = 0; line >= 0 && k < r->window[2]; k++, w += r->dilation[2]) {
                if (w >= 0 && w < r->image[2]) {
                    image[line + w] += patches[k];
                }
            }
        }
    }
}

/* d_image from d_map, of one sample and group, places [begin, end). */
static void map_to_image(const struct relation *r, const float *d_map, const float *weight,
    int64_t begin, int64_t end, float *patches, float *d_image)
{
    memset(patches, 0, (size_t)((end - begin) * r->patch) * sizeof *patches);
    matmul_add(end - begin, r->patch, r->map_channels,
        (struct matmul_matrix){d_map + begin, 1, r->map_places},
        (struct matmul_matrix){weight, r->patch, 1}, patches, r->patch);
    fold_patches(r, patches, begin, end, d_image);
}

/* d_map from the patches of d_image. */
static void image_to_map(const struct relation *r, const float *patches,
    const float *weight, int64_t begin, int64_t end, float *memory, float *d_map)
{
    matmul_transpose(patches, end - begin, r->patch, memory);
    matmul_add(r->map_channels, end - begin, r->patch,
        (struct matmul_matrix){weight, r->patch, 1},
        (struct matmul_matrix){memory, end - begin, 1}, d_map + begin, r->map_places);
}

/* How many places are worked on at a time. */
static int64_t block_of(const struct relation *r)
{
    const int64_t block = BLOCK_ELEMENTS / r->patch + 1;
    return block < r->map_places ? block : r->map_places;
}

/* What is carried back of one sample and group; NULL: not wanted. */
struct carry {
    const float *from; /* what is known of the output */
    const float *input;
    const float *weight;
    float *d_input;
    float *d_weight;
};

/* Carry back a block of places. */
static void carry_block(const struct relation *r, const struct carry *carry, int64_t begin,
    int64_t end, float *memory)
{
    float *patches = memory;
    float *turned = memory + (end - begin) * r->patch;
    const float *map = r->is_transposed ? carry->input : carry->from;
    const float *image = r->is_transposed ? carry->from : carry->input;
    if (r->is_transposed || carry->d_weight != NULL) {
        take_patches(r, image, begin, end, patches);
    }
    if (carry->d_weight != NULL) {
        matmul_add(r->map_channels, r->patch, end - begin,
            (struct matmul_matrix){map + begin, r->map_places, 1},
            (struct matmul_matrix){patches, r->patch, 1}, carry->d_weight, r->patch);
    }
    if (carry->d_input != NULL && r->is_transposed) {
        image_to_map(r, patches, carry->weight, begin, end, turned, carry->d_input);
    } else if (carry->d_input != NULL) {
        map_to_image(r, carry->from, carry->weight, begin, end, patches, carry->d_input);
    }
}

static bool is_all_zero(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (x[i] != 0) {
            return false;
        }
    }
    return true;
}

/* One line of the map under one weight: its places that meet the image, and where. */
static void carry_line(const struct relation *r, const struct carry *carry, int64_t image,
    int64_t map, int64_t weight, int64_t kw)
{
    const int64_t shift = kw * r->dilation[2] - r->padding[2];
    const float w = carry->weight[weight];
    float sum = 0;
    for (int64_t m = 0; m < r->map[2]; m++) {
        const int64_t i = m * r->stride[2] + shift;
        if (i < 0 || i >= r->image[2]) {
            continue;
        }
        const int64_t from = r->is_transposed ? image + i : map + m;
        const int64_t to = r->is_transposed ? map + m : image + i;
        if (carry->d_input != NULL) {
            carry->d_input[to] += w * carry->from[from];
        }
        sum += carry->input[to] * carry->from[from];
    }
    if (carry->d_weight != NULL) {
        carry->d_weight[weight] += sum;
    }
}

/* Carry back one sample and group of few channels (depthwise), where patches would be mostly
 * copying: line by line, for each weight. */
static void carry_lines(const struct relation *r, const struct carry *carry)
{
    const int64_t window = r->window[0] * r->window[1];
    for (int64_t row = 0; row < r->map_channels * r->image_channels * window; row++) {
        const int64_t kd = row / r->window[1] % r->window[0];
        const int64_t kh = row % r->window[1];
        const int64_t image_channel = row / window % r->image_channels;
        const int64_t map_channel = row / window / r->image_channels;
        for (int64_t line = 0; line < r->map[0] * r->map[1]; line++) {
            const int64_t d =
                line / r->map[1] * r->stride[0] - r->padding[0] + kd * r->dilation[0];
            const int64_t h =
                line % r->map[1] * r->stride[1] - r->padding[1] + kh * r->dilation[1];
            if (d < 0 || d >= r->image[0] || h < 0 || h >= r->image[1]) {
                continue;
            }
            const int64_t image =
                image_channel * r->image_places + (d * r->image[1] + h) * r->image[2];
            const int64_t map = map_channel * r->map_places + line * r->map[2];
            for (int64_t kw = 0; kw < r->window[2]; kw++) {
                carry_line(r, carry, image, map, row * r->window[2] + kw, kw);
            }
        }
    }
}

/* Carry what is known of the outputs back to input and weight, added to what is there. */
static void carry_back(const struct relation *r, const struct carry *all)
{
    const int64_t block = block_of(r);
    baro_autofree float *memory =
        baro_xcalloc((size_t)(2 * block * r->patch) + 1, sizeof *memory);
    const int64_t map = r->map_channels * r->map_places;
    const int64_t image = r->image_channels * r->image_places;
    const int64_t n_in =
        r->is_transposed ? map : image; /* elements of a sample and group */
    const int64_t n_out = r->is_transposed ? image : map;
    for (int64_t i = 0; i < r->n * r->groups; i++) {
        const int64_t w = i % r->groups * r->map_channels * r->patch;
        const struct carry one = {.from = all->from + i * n_out,
            .input = all->input + i * n_in,
            .weight = all->weight + w,
            .d_input = all->d_input != NULL ? all->d_input + i * n_in : NULL,
            .d_weight = all->d_weight != NULL ? all->d_weight + w : NULL};
        if (is_all_zero(one.from, n_out)) {
            continue; /* one sample is asked for, mostly */
        }
        if (r->map_channels * r->image_channels <= FEW_CHANNELS) {
            carry_lines(r, &one);
            continue;
        }
        for (int64_t begin = 0; begin < r->map_places; begin += block) {
            int64_t end = begin + block < r->map_places ? begin + block : r->map_places;
            carry_block(r, &one, begin, end, memory);
        }
    }
}

static int fill_axes(const struct credit_io *io, const struct conv *c, struct relation *r)
{
    const struct credit_array *image = r->is_transposed ? c->output.array : c->input.array;
    const struct credit_array *map = r->is_transposed ? c->input.array : c->output.array;
    const struct credit_array *weight = c->weight.array;
    const int n_axes = weight->n_dims - 2;
    for (int i = 0; i < AXES; i++) {
        const int axis = i - (AXES - n_axes); /* of the operation */
        const bool is_there = axis >= 0;
        r->image[i] = is_there ? image->shape[2 + axis] : 1;
        r->map[i] = is_there ? map->shape[2 + axis] : 1;
        r->window[i] = is_there ? weight->shape[2 + axis] : 1;
        r->stride[i] = is_there ? credit_attr_int(io, "stride", axis, 1) : 1;
        r->padding[i] = is_there ? credit_attr_int(io, "padding", axis, 0) : 0;
        r->dilation[i] = is_there ? credit_attr_int(io, "dilation", axis, 1) : 1;
    }
    r->image_places = product(r->image);
    r->map_places = product(r->map);
    r->n = map->shape[0];
    r->map_channels = map->shape[1] / r->groups;
    r->image_channels = image->shape[1] / r->groups;
    r->patch = r->image_channels * product(r->window);
    const bool is_well = image->shape[0] == r->n && map->shape[1] == weight->shape[0] &&
                         image->shape[1] == weight->shape[1] * r->groups &&
                         map->shape[1] % r->groups == 0;
    return is_well ? 0 : BARO_EUNSUPPORTED;
}

static bool has_word(const struct credit_io *io, const char *word)
{
    return strstr(io->op->name, word) != NULL;
}

/* The input that is the bias: the third, where the operation has one. */
static int take_operands(const struct credit_io *io, struct conv *c)
{
    int rc = credit_input(io, 0, &c->input);
    rc = rc == 0 ? credit_input(io, 1, &c->weight) : rc;
    rc = rc == 0 ? credit_input(io, 2, &c->bias) : rc;
    rc = rc == 0 ? credit_output(io, 0, &c->output) : rc;
    if (rc == 0 &&
        (c->input.now == NULL || c->weight.now == NULL || c->output.array == NULL)) {
        rc = BARO_ENOENT;
    }
    return rc;
}

static int begin(const struct credit_io *io, struct conv *c)
{
    int rc = take_operands(io, c);
    if (rc != 0) {
        return rc;
    }
    struct relation *r = &c->relation;
    const int n_dims = c->weight.array->n_dims;
    if (n_dims < 3 || n_dims > 2 + AXES || c->input.array->n_dims != n_dims ||
        c->output.array->n_dims != n_dims || c->weight.n == 0 || c->output.n == 0 ||
        c->input.n == 0) {
        return BARO_EUNSUPPORTED;
    }
    r->is_transposed =
        has_word(io, "transpose") || credit_attr_int(io, "transposed", 0, 0) != 0;
    r->groups = r->is_transposed ? credit_attr_int(io, "groups", 0, 1)
                                 : c->input.array->shape[1] / c->weight.array->shape[1];
    return r->groups > 0 ? fill_axes(io, c, r) : BARO_EUNSUPPORTED;
}

/* Sum the outputs' numbers over samples and places, for each channel. */
static void sum_channels(const struct conv *c, const float *from, double *out)
{
    const struct credit_array *output = c->output.array;
    const int64_t channels = output->shape[1];
    const int64_t places = output->n / (output->shape[0] * channels);
    for (int64_t i = 0; i < output->shape[0] * channels; i++) {
        double sum = 0;
        for (int64_t p = 0; p < places; p++) {
            sum += (double)from[i * places + p];
        }
        out[i % channels] += sum;
    }
}

static int conv_value(const struct credit_io *io)
{
    struct conv c = {0};
    int rc = begin(io, &c);
    if (rc != 0 || c.output.from == NULL) {
        return rc;
    }
    if (c.output.now == NULL) {
        return BARO_ENOENT;
    }
    baro_autofree float *ratio = baro_xcalloc((size_t)c.output.n, sizeof *ratio);
    credit_divide(io, c.output.now, c.output.from, c.output.n, ratio);
    if (c.bias.now != NULL) {
        baro_autofree double *sums = baro_xcalloc((size_t)c.bias.n, sizeof *sums);
        sum_channels(&c, ratio, sums);
        for (int64_t i = 0; i < c.bias.n; i++) {
            io->own[CREDIT_OWN_BIAS] += sums[i] * (double)c.bias.now[i];
        }
    }
    if (c.input.to != NULL) {
        baro_autofree float *back = baro_xcalloc((size_t)c.input.n, sizeof *back);
        carry_back(&c.relation, &(struct carry){.from = ratio,
                                    .input = c.input.now,
                                    .weight = c.weight.now,
                                    .d_input = back});
        for (int64_t i = 0; i < c.input.n; i++) {
            c.input.to[i] += back[i] * c.input.now[i];
        }
    }
    return 0;
}

static int conv_slopes(const struct credit_io *io)
{
    struct conv c = {0};
    int rc = begin(io, &c);
    if (rc != 0 || c.output.from == NULL) {
        return rc;
    }
    baro_autofree float *input_memory = NULL;
    baro_autofree float *weight_memory = NULL;
    const float *input = credit_mean(&c.input, &input_memory);
    const float *weight = credit_mean(&c.weight, &weight_memory);
    carry_back(&c.relation,
        &(struct carry){c.output.from, input, weight, c.input.to, c.weight.to});
    if (c.bias.to != NULL) {
        baro_autofree double *sums = baro_xcalloc((size_t)c.bias.n, sizeof *sums);
        sum_channels(&c, c.output.from, sums);
        for (int64_t i = 0; i < c.bias.n; i++) {
            c.bias.to[i] += (float)sums[i];
        }
    }
    return 0;
}

/* The operation itself on one block of places of one sample and group, added to out. */
static void apply_block(const struct relation *r, const float *input, const float *weight,
    int64_t begin, int64_t end, float *memory, float *out)
{
    float *patches = memory;
    if (r->is_transposed) {
        map_to_image(r, input, weight, begin, end, patches, out);
        return;
    }
    take_patches(r, input, begin, end, patches);
    image_to_map(r, patches, weight, begin, end, memory + (end - begin) * r->patch, out);
}

/* The operation itself, without bias. */
static void apply(
    const struct relation *r, const float *input, const float *weight, float *out)
{
    const int64_t block = block_of(r);
    baro_autofree float *memory =
        baro_xcalloc((size_t)(2 * block * r->patch) + 1, sizeof *memory);
    const int64_t map = r->map_channels * r->map_places;
    const int64_t image = r->image_channels * r->image_places;
    for (int64_t i = 0; i < r->n * r->groups; i++) {
        const int64_t w = i % r->groups * r->map_channels * r->patch;
        for (int64_t begin = 0; begin < r->map_places; begin += block) {
            int64_t end = begin + block < r->map_places ? begin + block : r->map_places;
            apply_block(r, input + i * (r->is_transposed ? map : image), weight + w, begin,
                end, memory, out + i * (r->is_transposed ? image : map));
        }
    }
}

static int conv_forward(const struct credit_io *io)
{
    struct conv c = {0};
    int rc = begin(io, &c);
    float *out = io->tangent_out[0];
    if (rc != 0 || out == NULL) {
        return rc;
    }
    if (io->tangent_in[0] != NULL) {
        apply(&c.relation, io->tangent_in[0], c.weight.now, out);
    }
    if (io->tangent_in[1] != NULL) {
        apply(&c.relation, c.input.now, io->tangent_in[1], out);
    }
    const float *bias = c.bias.now != NULL ? io->tangent_in[2] : NULL;
    const int64_t channels = c.output.array->shape[1];
    const int64_t places = c.output.n / (c.output.array->shape[0] * channels);
    for (int64_t i = 0; bias != NULL && i < c.output.n; i++) {
        out[i] += bias[i / places % channels];
    }
    return 0;
}

const struct credit_rule credit_rules_conv[] = {
    {"convolution _convolution convolution_overrideable mkldnn_convolution "
     "cudnn_convolution cudnn_convolution_transpose miopen_convolution "
     "miopen_convolution_transpose thnn_conv2d _slow_conv2d_forward slow_conv3d_forward "
     "slow_conv3d slow_conv_dilated2d slow_conv_dilated3d slow_conv_transpose2d "
     "slow_conv_transpose3d _conv_depthwise2d conv_depthwise3d",
        conv_value, conv_slopes, conv_slopes, conv_forward, .only_weighs = true},
    {0},
};
