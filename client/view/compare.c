/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "client/view/inside.h"
#include "client/view/words.h"
#include "lib/base/mem.h"

/* Two runs, or two steps of one: what is different, the most different first. */

/* Nothing is chosen: how to. */
static void draw_how(struct frame *f, struct draw_rect rect)
{
    static const char *const lines[] = {
        "Two runs: ctrl-click a second run in the list at the left, or press c over it,",
        "or / and a part of its name, “see beside”.",
        "Two steps of this run: put the cursor on a step and press m; move the cursor on,",
        "and press c.",
    };
    float y = rect.y + 40;
    (void)frame_text(f, FONT_STRONG, THEME_SIZE_TITLE, f->theme->text, rect.x, y, rect.w,
        "Nothing to compare yet");
    for (size_t i = 0; i < BARO_LEN(lines); i++) {
        y += i == 2 ? 36.0F : 24.0F;
        (void)frame_text(f, FONT_TEXT, THEME_SIZE_TEXT, f->theme->secondary, rect.x, y,
            rect.w, lines[i]);
    }
}

void compare_draw(struct frame *f, struct draw_rect rect)
{
    draw_how(f, draw_inset(rect, VIEW_PAD, 0));
}
