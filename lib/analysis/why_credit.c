/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/why_inside.h"

void why_read_credit(struct why_work *work)
{
    (void)work;
}
