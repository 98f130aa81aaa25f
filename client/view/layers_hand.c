/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view/layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/view/view.h"

/* What the hand does on the pages of many layers and on the panel over time of the tensor page. */

void layers_pick_step(struct view *view, double step)
{
    struct view_layers *layers = &view->layers;
    char text[FORMAT_MAX];
    if (isnan(step)) {
        (void)snprintf(view->notice, sizeof view->notice,
            "Put the cursor on a step first: move over a row, or use the arrow keys");
        return;
    }
    int64_t at = (int64_t)fmin(fmax(round(step), -1e15), 1e15);
    size_t i = 0;
    while (i < layers->n_steps && layers->steps[i] < at) {
        i++;
    }
    if (i < layers->n_steps && layers->steps[i] == at) {
        memmove(&layers->steps[i], &layers->steps[i + 1],
            (--layers->n_steps - i) * sizeof layers->steps[0]);
        return;
    }
    if (layers->n_steps == LAYERS_MAX_STEPS) {
        (void)snprintf(view->notice, sizeof view->notice,
            "%d steps are picked; click one in the list to drop it", LAYERS_MAX_STEPS);
        return;
    }
    memmove(&layers->steps[i + 1], &layers->steps[i],
        (layers->n_steps++ - i) * sizeof layers->steps[0]);
    layers->steps[i] = at;
    (void)snprintf(view->notice, sizeof view->notice, "Step %s is picked; %zu in all",
        format_count(text, at), layers->n_steps);
}

/* Draw histories in the next form. */
static void next_form(struct view *view)
{
    struct view_tensor *tensor = &view->tensor;
    if (view->page == VIEW_LAYERS) {
        view->layers.form = (enum form)(((int)view->layers.form + 1) % FORM_COUNT);
    } else if (view->page == VIEW_NETWORK) {
        view->network.form = (enum form)(((int)view->network.form + 1) % FORM_COUNT);
    } else if (tensor->tab == TENSOR_DISTRIBUTION) {
        tensor->hist = (enum tensor_hist)(((int)tensor->hist + 1) % TENSOR_HIST_COUNT);
    } else {
        tensor->order = (enum order_by)(((int)tensor->order + 1) % ORDER_BY_COUNT);
    }
}

static bool tensor_char(struct view *view, char key)
{
    switch (key) {
    case 'v': next_form(view); break;
    case 'h':
        view->tensor.tab =
            (enum tensor_tab)(((int)view->tensor.tab + 1) % TENSOR_TAB_COUNT);
        break;
    default: return false;
    }
    return true;
}

bool layers_char(struct view *view, char key)
{
    struct view_layers *layers = &view->layers;
    if (view->page == VIEW_TENSOR) {
        return tensor_char(view, key);
    }
    if (view->page == VIEW_NETWORK && key == 'v') {
        next_form(view);
        return true;
    }
    if (view->page != VIEW_LAYERS) {
        return false;
    }
    switch (key) {
    case 'v': next_form(view); break;
    case 'y': layers->is_shared = !layers->is_shared; break;
    case 'h': layers->size = (layers->size + 1) % LAYERS_N_SIZES; break;
    case 'i': layers_pick_step(view, view->cursor); break;
    case 's':
        layers->stat = (enum form_stat)(((int)layers->stat + 1) % FORM_STAT_COUNT);
        break;
    default: return false;
    }
    return true;
}

/* Show a role; a statistic that only updates have gives way. */
static void pick_role(struct view *view, enum baro_role role)
{
    view->heat_role = role;
    if (role != BARO_UPDATE && view->page == VIEW_LAYERS &&
        (view->layers.stat == FORM_RATIO || view->layers.stat == FORM_CHANGE)) {
        view->layers.stat = FORM_L2;
    }
}

void layers_act(struct view *view, int act, int64_t a)
{
    switch (act) {
    case VIEW_PICK_HEAT: pick_role(view, (enum baro_role)a); break;
    case VIEW_LAYERS_STAT: view->layers.stat = (enum form_stat)a; break;
    case VIEW_LAYERS_FORM: view->layers.form = (enum form)a; break;
    case VIEW_LAYERS_SCALE: view->layers.is_shared = a != 0; break;
    case VIEW_LAYERS_MOVED: view->layers.moved = (int)a; break;
    case VIEW_LAYERS_STEP: layers_pick_step(view, (double)a); break;
    case VIEW_LAYERS_TOP: view->layers.k = (size_t)a; break;
    case VIEW_TENSOR_TAB: view->tensor.tab = (enum tensor_tab)a; break;
    case VIEW_TENSOR_ORDER: view->tensor.order = (enum order_by)a; break;
    case VIEW_TENSOR_HIST: view->tensor.hist = (enum tensor_hist)a; break;
    case VIEW_NETWORK_FORM: view->network.form = (enum form)a; break;
    case VIEW_NETWORK_STAT: view->network.stat = (enum form_stat)a; break;
    case VIEW_NETWORK_COLOR: view->network.color = (enum network_color)a; break;
    default: break;
    }
}
