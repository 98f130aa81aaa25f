/* SPDX-License-Identifier: Apache-2.0 */
/* What a person has chosen on the tensor page beside its units; its panel over time. */
#ifndef CLIENT_VIEW_TENSOR_H
#define CLIENT_VIEW_TENSOR_H

#include "client/model/order.h"

/* What the panel over time shows. */
enum tensor_tab { TENSOR_UNITS, TENSOR_DISTRIBUTION, TENSOR_CHANGE, TENSOR_TAB_COUNT };

/* How the distribution is drawn. */
enum tensor_hist { TENSOR_BANDS, TENSOR_RIDGES, TENSOR_HEAT, TENSOR_HIST_COUNT };

struct view_tensor {
    enum tensor_tab tab;
    enum order_by order;
    enum tensor_hist hist;
};

#endif
