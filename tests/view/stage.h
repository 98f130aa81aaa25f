/* SPDX-License-Identifier: Apache-2.0 */
/* A view on a stage: the oracle answers it, its draw commands are looked at. */
#ifndef TESTS_VIEW_STAGE_H
#define TESTS_VIEW_STAGE_H

#include <stdbool.h>

#include "client/view/inside.h"
#include "tests/view/oracle.h"

/* A view of the oracle's run, drawn until it has all that it wished for. */
struct stage {
    struct oracle oracle;
    struct keeper *keeper;
    struct view *view;
    struct model *model;
    struct font *font;
    struct draw_list *list;
    float w, h;
};

/** Set the stage for a window of w x h; the test may change stage->oracle then. */
void stage_begin(struct stage *stage, float w, float h);

/** Draw and answer until the view has all that it wished for. */
void stage_draw(struct stage *stage);

/** Strike the stage. */
void stage_end(struct stage *stage);

/** Print the draw commands; the caller frees. */
char *stage_text(const struct draw_list *list);

/** Compare the draw commands with tests/golden/view/NAME.txt; BARO_UPDATE_GOLDEN writes it. */
void stage_assert_golden(const struct stage *stage, const char *name);

/** Tell whether a string that is drawn holds a text. */
bool stage_says(const struct stage *stage, const char *text);

#endif
