/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/credit_links.h"

#include <stdlib.h>

#include "lib/analysis/credit_loops.h"
#include "lib/analysis/credit_parts.h"
#include "lib/base/mem.h"

/*
 * Linear operations that are told best as a list of links: y_o = sum of w x_i over the links (i, o).
 * Value mode: eps rule, w x_i / y_o. Gradient and change: w, for w is fixed by the shapes alone.
 *
 *  im2col (unfold)   each output is one input element, or of the padding and then nothing's
 *  col2im (fold)     the same links, walked the other way: overlapping patches add up
 *  affine_grid       each coordinate is a row of the 2 by 3 map times (x, y, 1) of its place
 *  packing           step after step the rows that are that long: each output is one input element
 *
 * Worked: 2 by 2 patches of (1 2 3 / 4 5 6), stride 1: the second column is 2 3 5 6; folded back,
 * elements 2 and 5 are in both patches and come out doubled.
 */

enum { PLANE = 2 };

void credit_links_add(struct credit_links *links, int64_t in, int64_t out, float weight)
{
    if (links->n == links->room) {
        links->room = links->room * 2 + 256;
        links->items =
            baro_xrealloc(links->items, (size_t)links->room, sizeof *links->items);
    }
    links->items[links->n++] = (struct credit_link){in, out, weight};
}

void credit_links_finish(struct credit_links *links)
{
    free(links->items);
    *links = (struct credit_links){0};
}

int credit_links_value(const struct credit_io *io, const struct credit_links *links)
{
    const float *x = io->in[0].x;
    const float *from = io->of_out[0];
    float *to = io->of_in[0];
    if (from == NULL || to == NULL) {
        return 0;
    }
    if (x == NULL || io->out[0].x == NULL) {
        return BARO_ENOENT;
    }
    baro_autofree float *ratio = baro_xcalloc((size_t)io->out[0].n, sizeof *ratio);
    credit_divide(io, io->out[0].x, from, io->out[0].n, ratio);
    for (int64_t i = 0; i < links->n; i++) {
        const struct credit_link *link = &links->items[i];
        if (ratio[link->out] != 0) {
            to[link->in] += ratio[link->out] * link->weight * x[link->in];
        }
    }
    return 0;
}

/* Carry slopes of output 0 back to input 0. factor: of all of them. */
static void carry_slopes(
    const struct credit_io *io, const struct credit_links *links, float factor)
{
    const float *from = io->of_out[0];
    float *to = io->of_in[0];
    for (int64_t i = 0; from != NULL && to != NULL && i < links->n; i++) {
        const struct credit_link *link = &links->items[i];
        to[link->in] += factor * link->weight * from[link->out];
    }
}

/* Carry tangents of input 0 to output 0. */
static void carry_tangents(const struct credit_io *io, const struct credit_links *links)
{
    const float *from = io->tangent_in[0];
    float *to = io->tangent_out[0];
    for (int64_t i = 0; from != NULL && to != NULL && i < links->n; i++) {
        const struct credit_link *link = &links->items[i];
        to[link->out] += link->weight * from[link->in];
    }
}

/* Patches of a plane: the image and the columns of one operation. */
struct patches {
    int64_t planes; /* samples times channels */
    int64_t channels;
    int64_t image[PLANE];
    int64_t window[PLANE], stride[PLANE], padding[PLANE], dilation[PLANE], places[PLANE];
};

static int read_patches(
    const struct credit_io *io, const struct credit_array *image, struct patches *p)
{
    *p = (struct patches){.planes = 1};
    if (image->n_dims < 3 || image->n_dims > 4 || image->n == 0) {
        return BARO_EUNSUPPORTED;
    }
    for (int d = 0; d < image->n_dims - PLANE; d++) {
        p->planes *= image->shape[d];
    }
    p->channels = image->shape[image->n_dims - 3];
    for (int a = 0; a < PLANE; a++) {
        p->image[a] = image->shape[image->n_dims - PLANE + a];
        p->window[a] = credit_attr_int(io, "kernel_size", a, 0);
        p->stride[a] = credit_attr_int(io, "stride", a, 1);
        p->padding[a] = credit_attr_int(io, "padding", a, 0);
        p->dilation[a] = credit_attr_int(io, "dilation", a, 1);
        if (p->window[a] <= 0 || p->stride[a] <= 0 || p->dilation[a] <= 0) {
            return BARO_EUNSUPPORTED;
        }
        const int64_t span = p->dilation[a] * (p->window[a] - 1) + 1;
        p->places[a] = (p->image[a] + 2 * p->padding[a] - span) / p->stride[a] + 1;
    }
    return p->places[0] > 0 && p->places[1] > 0 ? 0 : BARO_EUNSUPPORTED;
}

/* The links of one column: a place in the window, at each place of the window. */
static void link_column(const struct patches *p, int64_t plane, int64_t in_window,
    int64_t column, bool is_back, struct credit_links *links)
{
    const int64_t i = in_window / p->window[1];
    const int64_t j = in_window % p->window[1];
    const int64_t n_places = p->places[0] * p->places[1];
    for (int64_t place = 0; place < n_places; place++) {
        const int64_t y =
            place / p->places[1] * p->stride[0] - p->padding[0] + i * p->dilation[0];
        const int64_t x =
            place % p->places[1] * p->stride[1] - p->padding[1] + j * p->dilation[1];
        if (y < 0 || x < 0 || y >= p->image[0] || x >= p->image[1]) {
            continue;
        }
        const int64_t at = (plane * p->image[0] + y) * p->image[1] + x;
        const int64_t in_columns = column * n_places + place;
        credit_links_add(links, is_back ? in_columns : at, is_back ? at : in_columns, 1);
    }
}

static int link_patches(const struct credit_io *io, struct credit_links *links)
{
    const bool is_back = credit_is_named(io, "col2im");
    const struct credit_array *image = is_back ? &io->out[0] : &io->in[0];
    const struct credit_array *columns = is_back ? &io->in[0] : &io->out[0];
    struct patches p;
    const int rc = read_patches(io, image, &p);
    if (rc != 0) {
        return rc;
    }
    const int64_t n_window = p.window[0] * p.window[1];
    if (columns->n != p.planes * n_window * p.places[0] * p.places[1]) {
        return BARO_EUNSUPPORTED;
    }
    for (int64_t plane = 0; plane < p.planes; plane++) {
        for (int64_t k = 0; k < n_window; k++) {
            link_column(&p, plane, k, plane * n_window + k, is_back, links);
        }
    }
    return 0;
}

/*
 * Packing: of step t the first rows, as many as are longer than t; the second result says how many.
 * Of rows that were not kept no links are made.
 */
static int link_packed(const struct credit_io *io, struct credit_links *links)
{
    if (!credit_has_out(io, 1) || io->out[1].x == NULL) {
        return BARO_ENOENT;
    }
    const struct credit_array *x = &io->in[0];
    const struct credit_array *sizes = &io->out[1];
    const int batch = credit_attr_int(io, "batch_first", 0, 0) != 0 ? 0 : 1;
    if (x->n_dims < 2 || sizes->n > x->shape[1 - batch] || x->n == 0) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t n_rows = x->shape[batch];
    const int64_t n_steps = x->shape[1 - batch];
    const int64_t width = x->n / (n_rows * n_steps);
    int64_t before = 0; /* rows of all steps in front */
    for (int64_t t = 0; t < sizes->n; t++) {
        for (int64_t row = 0; row < n_rows; row++) {
            const int64_t full =
                batch == x->value->batch_axis ? credit_full_place(io, x, row) : row;
            const int64_t out = (before + full) * width;
            if (full < 0 || (float)full >= sizes->x[t] || out + width > io->out[0].n) {
                continue;
            }
            const int64_t at = (batch == 0 ? row * n_steps + t : t * n_rows + row) * width;
            for (int64_t j = 0; j < width; j++) {
                credit_links_add(links, at + j, out + j, 1);
            }
        }
        before += (int64_t)sizes->x[t];
    }
    return before * width == io->out[0].n ? 0 : BARO_EUNSUPPORTED;
}

/* Where a place of n lies between -1 and 1. */
static float coordinate(int64_t place, int64_t n, bool is_aligned)
{
    const double at = n > 1 ? 2 * (double)place / (double)(n - 1) - 1 : 0;
    return (float)(is_aligned ? at : (2 * (double)place + 1) / (double)n - 1);
}

static int link_affine(const struct credit_io *io, struct credit_links *links)
{
    const struct credit_array *map = &io->in[0];
    const struct credit_array *grid = &io->out[0];
    const bool is_aligned = credit_attr_int(io, "align_corners", 0, 0) != 0;
    if (map->n_dims != 3 || map->shape[1] != 2 || map->shape[2] != 3 || grid->n_dims != 4 ||
        grid->shape[0] != map->shape[0] || grid->shape[3] != 2) {
        return BARO_EUNSUPPORTED;
    }
    const int64_t height = grid->shape[1];
    const int64_t width = grid->shape[2];
    for (int64_t out = 0; out < grid->n; out++) {
        const int64_t place = out / 2;
        const int64_t in = (place / (height * width) * 2 + out % 2) * 3;
        credit_links_add(links, in, out, coordinate(place % width, width, is_aligned));
        credit_links_add(
            links, in + 1, out, coordinate(place / width % height, height, is_aligned));
        credit_links_add(links, in + 2, out, 1);
    }
    return 0;
}

static int fill(const struct credit_io *io, struct credit_links *links)
{
    *links = (struct credit_links){0};
    const int rc = !credit_has_in(io, 0) || !credit_has_out(io, 0) ? BARO_EUNSUPPORTED
                   : credit_is_named(io, "affine_grid_generator")  ? link_affine(io, links)
                   : credit_is_named(io, "_pack_padded_sequence")  ? link_packed(io, links)
                                                                  : link_patches(io, links);
    if (rc != 0) {
        credit_links_finish(links);
    }
    return rc;
}

static int links_value(const struct credit_io *io)
{
    struct credit_links links;
    int rc = fill(io, &links);
    rc = rc == 0 ? credit_links_value(io, &links) : rc;
    credit_links_finish(&links);
    return rc;
}

static int links_slopes(const struct credit_io *io)
{
    struct credit_links links;
    const int rc = fill(io, &links);
    carry_slopes(io, &links, 1);
    credit_links_finish(&links);
    return rc;
}

/* Rows of other lengths are other rows: what is not in the same place is not compared. */
static int packed_change(const struct credit_io *io)
{
    const struct credit_array *now = &io->out[1];
    const struct credit_array *before = &io->out0[1];
    if (io->n_out < 2 || now->x == NULL || before->x == NULL || now->n != before->n) {
        return BARO_ENOENT;
    }
    for (int64_t i = 0; i < now->n; i++) {
        if (fabsf(now->x[i] - before->x[i]) > 0) {
            return BARO_EUNSUPPORTED;
        }
    }
    return links_slopes(io);
}

static int links_forward(const struct credit_io *io)
{
    struct credit_links links;
    const int rc = fill(io, &links);
    carry_tangents(io, &links);
    credit_links_finish(&links);
    return rc;
}

const struct credit_rule credit_rules_links[] = {
    {"im2col col2im affine_grid_generator", links_value, links_slopes, links_slopes,
        links_forward},
    {"_pack_padded_sequence", links_value, links_slopes, packed_change, links_forward},
    {0},
};
