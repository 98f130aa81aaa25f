/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/why_sketch.h"
#include "client/view/why_view.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/*
 * Of what the value that broke was made: its operation at the right, what that took to the left of
 * it, and so on, each flow as wide as its share of the whole. Shares that end in an operation (a
 * bias, a shift of a norm, noise) are a bar in its box.
 */

static const double TIMES = 5; /* a share beyond it is said as a factor: it cancels */

static char *say_share(char out[FORMAT_MAX], double share)
{
    double percent = share * 100;
    if (fabs(share) > TIMES) {
        (void)snprintf(out, FORMAT_MAX, "%.0f ×", share);
    } else {
        (void)snprintf(
            out, FORMAT_MAX, fabs(percent) < 9.95 ? "%.1f %%" : "%.0f %%", percent);
    }
    return out;
}

static void draw_flow(
    struct frame *f, const struct why_sketch *sketch, const struct why_flow *flow)
{
    const struct why_node *from = &sketch->nodes[flow->to]; /* data flow to the right */
    const struct why_node *to = &sketch->nodes[flow->from];
    char share[FORMAT_MAX];
    float width = 1 + 7 * (float)fmin(fabs(flow->share), 1);
    draw_color color =
        draw_fade(flow->share < 0 ? f->theme->watch : f->theme->accent, 0.35F);
    struct draw_point a = {from->rect.x + from->rect.w, from->rect.y + from->rect.h / 2};
    struct draw_point b = {to->rect.x, to->rect.y + to->rect.h / 2};
    draw_curve(f->list, a, b, width, color);
    if (fabs(flow->share) >= 0.05) {
        (void)frame_text(f, FONT_MONO, THEME_SIZE_AXIS, f->theme->text, a.x + 14, a.y - 6,
            0, say_share(share, flow->share));
    }
}

/* The unit of a value that made most of it; NULL: none stands out. */
static const struct credit_source *main_unit(
    const struct model_credit *credit, int32_t value)
{
    for (size_t i = 0; i < credit->n_units; i++) {
        if (credit->units[i].value == value && credit->units[i].unit >= 0) {
            return fabs(credit->units[i].share) >= 0.1 ? &credit->units[i] : NULL;
        }
    }
    return NULL;
}

/* The largest share that ended in an operation; its name, or NULL. */
static const char *main_own(const struct credit_node *node, double *out_share)
{
    int best = -1;
    for (int i = 0; node != NULL && i < CREDIT_OWN_COUNT; i++) {
        if (fabs(node->own[i]) >= 0.01 &&
            (best < 0 || fabs(node->own[i]) > fabs(node->own[best]))) {
            best = i;
        }
    }
    if (best < 0) {
        return NULL;
    }
    *out_share = node->own[best];
    return credit_own_name((enum credit_own)best);
}

static void name_of(
    const struct why_sketch *sketch, const struct why_node *node, char out[WORDS_MAX])
{
    const struct probe_value *value = &sketch->probe->values[node->value];
    if (node->op != PROBE_NONE) {
        const struct probe_op *op = &sketch->probe->ops[node->op];
        (void)snprintf(out, WORDS_MAX, "%s",
            op->module[0] != '\0'   ? op->module
            : op->source[0] != '\0' ? op->source
                                    : "in no module");
    } else {
        (void)snprintf(out, WORDS_MAX, "%s",
            value->name[0] != '\0' ? value->name : probe_value_kind_name(value->kind));
    }
}

static void tip_of_value(struct frame *f, const char *lead, const struct probe_value *value)
{
    char lo[FORMAT_MAX];
    char hi[FORMAT_MAX];
    char mean[FORMAT_MAX];
    if (value->n_nan + value->n_inf > 0) {
        frame_tip_line(f, "%s: %llu of %llu not finite", lead,
            (unsigned long long)(value->n_nan + value->n_inf),
            (unsigned long long)value->count);
    } else if (!isnan(value->min)) {
        frame_tip_line(f, "%s: %s to %s, mean %s", lead, format_value(lo, value->min),
            format_value(hi, value->max), format_value(mean, value->mean));
    }
}

static void tip_of_node(
    struct frame *f, const struct why_sketch *sketch, const struct why_node *node)
{
    char text[WORDS_MAX];
    char number[FORMAT_MAX];
    size_t n = 0;
    name_of(sketch, node, text);
    frame_tip(f, node->rect.x + node->rect.w, node->rect.y);
    if (node->op == PROBE_NONE) {
        frame_tip_line(f, "%s, from outside", text);
        tip_of_value(f, "holds", &sketch->probe->values[node->value]);
    } else {
        const struct probe_op *op = &sketch->probe->ops[node->op];
        frame_tip_line(f, "%s%s%s · %s", op->name, op->module[0] != '\0' ? " of " : "",
            op->module, op->source);
        for (uint32_t i = 0; i < op->n_inputs && i < 2; i++) {
            if (op->inputs[i] != PROBE_NONE) {
                const struct probe_value *in = &sketch->probe->values[op->inputs[i]];
                char lead[WORDS_MAX];
                (void)snprintf(lead, sizeof lead, "takes %.120s",
                    in->name[0] != '\0' ? in->name : probe_value_kind_name(in->kind));
                tip_of_value(f, lead, in);
            }
        }
        tip_of_value(f, "gives", &sketch->probe->values[node->value]);
    }
    n = (size_t)snprintf(text, sizeof text, "units:");
    size_t n_units = 0;
    for (size_t i = 0; i < sketch->credit->n_units && n_units < 4; i++) {
        const struct credit_source *unit = &sketch->credit->units[i];
        if (unit->value == node->value && unit->unit >= 0 && n + 40 < sizeof text) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s %lld: %s",
                n_units++ > 0 ? "," : "", (long long)unit->unit,
                say_share(number, unit->share));
        }
    }
    if (n_units > 0) {
        frame_tip_line(f, "%s", text);
    }
}

/* A click shows the unit, or at least the module's output. */
static void zone_of_node(struct frame *f, const struct why_sketch *sketch,
    const struct why_node *node, const struct credit_source *unit)
{
    char name[WORDS_MAX];
    name_of(sketch, node, name);
    const struct model_thing *thing = model_tensor_find(f->model, name, BARO_ACT);
    thing = thing != NULL ? thing : model_tensor_find(f->model, name, 0);
    if (thing != NULL && unit != NULL && unit->unit < (int64_t)thing->n_units) {
        frame_zone(f, node->rect, VIEW_SHOW_UNIT, unit->unit, 1 + thing->thing);
    } else if (thing != NULL) {
        frame_zone(f, node->rect, VIEW_PICK_THING, thing->thing, 0);
    }
}

/* The bar of what ended here, or of what goes on unseen. */
static void draw_stub(struct frame *f, struct draw_rect r, double share, draw_color color)
{
    float w = (r.w - 2) * (float)fmin(fabs(share), 1);
    draw_fill(f->list, (struct draw_rect){r.x + 1, r.y + r.h - 4, w, 3}, color);
}

/* "exp of mul of max", the last first. */
static void say_ops(
    const struct why_sketch *sketch, const struct why_node *node, char out[WORDS_MAX])
{
    size_t n = 0;
    (void)snprintf(out, WORDS_MAX, "from outside");
    for (int i = 0; i < node->n_ops && n + 80 < WORDS_MAX; i++) {
        n += (size_t)snprintf(out + n, WORDS_MAX - n, "%s%.60s", i > 0 ? " of " : "",
            sketch->probe->ops[node->ops[i]].name);
    }
}

static void draw_node(
    struct frame *f, const struct why_sketch *sketch, const struct why_node *node)
{
    const struct draw_rect r = node->rect;
    char text[WORDS_MAX];
    char number[FORMAT_MAX];
    double own = 0;
    const struct credit_source *unit = main_unit(sketch->credit, node->value);
    const char *own_name = main_own(node->credit, &own);
    bool is_over = frame_is_over(f, r);
    draw_fill(f->list, r, is_over ? f->theme->raised : f->theme->panel);
    draw_outline(f->list, r, node->place.layer == 0 ? f->theme->alarm : f->theme->hairline);
    name_of(sketch, node, text);
    (void)frame_name(
        f, THEME_SIZE_TEXT, f->theme->text, r.x + 10, r.y + 18, r.w - 20, text);
    say_ops(sketch, node, text);
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, r.x + 10, r.y + 34,
        r.w - 20, text);
    bool is_cut = fabs(node->gone) >= 0.05 && fabs(node->gone) > fabs(own);
    text[0] = '\0';
    if (is_cut) {
        (void)snprintf(
            text, sizeof text, "%s from further back", say_share(number, node->gone));
        draw_stub(f, r, node->gone, draw_fade(f->theme->accent, 0.5F));
    } else if (own_name != NULL) {
        (void)snprintf(text, sizeof text, "%s %s", own_name, say_share(number, own));
        draw_stub(f, r, own, theme_series(f->theme, 1));
    } else if (unit != NULL) {
        (void)snprintf(text, sizeof text, "unit %lld: %s", (long long)unit->unit,
            say_share(number, unit->share));
    }
    (void)frame_text(
        f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->text, r.x + 10, r.y + 50, r.w - 20, text);
    zone_of_node(f, sketch, node, unit);
    if (is_over) {
        tip_of_node(f, sketch, node);
    }
}

static double largest_share(const struct model_credit *credit)
{
    double most = 0;
    for (size_t i = 0; i < credit->n_edges; i++) {
        most = fmax(most, fabs(credit->edges[i].share));
    }
    return most;
}

/* Whether something that is exactly 0 has come from elsewhere: where from can be shown, not how much
 * of it. */
static bool has_zero(const struct model_why *why)
{
    return why->untold[0] != '\0' && why->credit.mode == CREDIT_VALUE &&
           largest_share(&why->credit) >= 0.05;
}

/* Whether there is nothing to draw: the sentence about it says all. */
static bool has_nothing(const struct model_why *why)
{
    return why->untold[0] != '\0' && !has_zero(why);
}

/* What is shared out, and between what. */
static void say_whole(const struct model_why *why, char out[WORDS_MAX])
{
    const long long step = (long long)why->failure->probe->step;
    switch (why->credit.mode) {
    case CREDIT_GRADIENT:
        (void)snprintf(out, WORDS_MAX,
            "shares of the gradient of that value, along the operations of step %lld on to the "
            "loss",
            step);
        break;
    case CREDIT_CHANGE:
        (void)snprintf(out, WORDS_MAX,
            "shares of how far that value moved between step %lld and step %lld",
            why->calm != NULL ? (long long)why->calm->probe->step : 0LL, step);
        break;
    case CREDIT_VALUE:
    case CREDIT_MODE_END:
    default:
        (void)snprintf(out, WORDS_MAX, "%s, back along the operations of step %lld",
            has_zero(why) ? "the value is exactly 0: shares of what its operation took"
                          : "shares of the value that broke",
            step);
        break;
    }
}

static void draw_title(struct frame *f, struct draw_rect rect, const struct model_why *why)
{
    static const char *const words[] = {"value", "gradient", "change"};
    static const int64_t modes[] = {CREDIT_VALUE, CREDIT_GRADIENT, CREDIT_CHANGE};
    static const char *const titles[] = {
        "Of what it was made", "What pulled at it", "What moved it"};
    const struct model_credit *credit = &why->credit;
    const enum credit_mode mode = f->view->why_mode != 0 ? f->view->why_mode : CREDIT_VALUE;
    char text[WORDS_MAX];
    char bound[FORMAT_MAX];
    struct draw_rect box = frame_text(f, FONT_STRONG, THEME_SIZE_TEXT, f->theme->text,
        rect.x, rect.y + 18, 0, titles[mode - CREDIT_VALUE]);
    const float left = frame_switch(f, rect.x + rect.w, rect.y + 18, words, modes,
        BARO_LEN(words), (int64_t)mode, VIEW_WHY_MODE, true);
    const float x = box.x + box.w + 12;
    if (has_nothing(why)) {
        (void)snprintf(text, sizeof text, "%s", why->untold);
    } else if (!why->has_credit || credit->mode != mode) {
        (void)snprintf(text, sizeof text, "working it out");
    } else if (!credit->is_done) {
        (void)snprintf(text, sizeof text, "working it out: %.0f %%, ± %s so far",
            credit->fraction * 100, say_share(bound, credit->error_bound));
    } else {
        say_whole(why, text);
        const size_t n = strlen(text);
        if (largest_share(credit) > 2) {
            (void)snprintf(text + n, sizeof text - n,
                "; what is far over 100 %% cancels with what is below 0");
        } else if (credit->error_bound > 0.01) {
            (void)snprintf(
                text + n, sizeof text - n, ", ± %s", say_share(bound, credit->error_bound));
        }
    }
    (void)frame_text(f, FONT_TEXT, THEME_SIZE_AXIS, f->theme->secondary, x, rect.y + 18,
        left - x - 14, text);
}

float why_credit_draw(struct frame *f, struct draw_rect rect, const struct model_why *why)
{
    struct why_sketch *sketch = draw_scratch(f->list, sizeof *sketch);
    const bool can_tell =
        why->failure != NULL && (why->has_credit || why->untold[0] != '\0');
    if (sketch == NULL || !can_tell) {
        return 0;
    }
    draw_title(f, rect, why);
    if (!why->has_credit || has_nothing(why) ||
        !why_sketch_make(sketch, why->failure->probe, &why->credit,
            (struct draw_rect){rect.x, rect.y + 34, rect.w, 0})) {
        return 34;
    }
    for (size_t i = 0; i < sketch->n_flows; i++) {
        if (why_sketch_shows(sketch, sketch->flows[i].from) &&
            why_sketch_shows(sketch, sketch->flows[i].to)) {
            draw_flow(f, sketch, &sketch->flows[i]);
        }
    }
    for (size_t i = 0; i < sketch->n; i++) {
        if (why_sketch_shows(sketch, i)) {
            draw_node(f, sketch, &sketch->nodes[i]);
        }
    }
    return 34 + (WHY_BOX_H + WHY_ROW_GAP) * (float)sketch->n_rows;
}
