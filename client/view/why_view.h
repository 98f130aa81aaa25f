/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the why page share: paragraphs, cards, the shares of what made the operand. */
#ifndef CLIENT_VIEW_WHY_VIEW_H
#define CLIENT_VIEW_WHY_VIEW_H

#include "client/view/inside.h"

/* How a paragraph looks. */
struct why_style {
    enum font_role role;
    float size;
    draw_color color;
    float line_h;
    int max_lines; /* the last one ends in an ellipsis; 0: no limit */
};

/** Draw a sentence cut into lines that fit; gives where it ends. */
float why_paragraph(struct frame *f, float x, float y, float w,
    const struct why_style *style, const char *text);

/** Height that the stages take in a width; 0: there are none. */
float why_cards_height(const struct why_story *story, float w);

/** The stages of the story as cards in the order of time. */
void why_cards_draw(struct frame *f, struct draw_rect rect, const struct model_why *why);

/** Draw what made the operand as a layered graph of shares, the operand at the right; gives the
 * height that it takes. */
float why_credit_draw(struct frame *f, struct draw_rect rect, const struct model_why *why);

#endif
