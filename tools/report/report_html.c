/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/draw/draw_vector.h"
#include "lib/base/err.h"
#include "tools/report/report.h"

/*
 * One file that needs nothing from outside: no scripts, no fonts, no pictures. Readable without
 * styles, too: headings, lists and tables are what they are.
 */

static const float CHART_WIDTH = 760;
static const float CHART_HEIGHT = 170;

static const char style[] =
    ":root{color-scheme:light}body{font:15px/1.5 Inter,system-ui,sans-serif;color:#1a1e24;"
    "background:#fafaf8;margin:0 auto;max-width:800px;padding:32px 20px}"
    "h1{font-size:22px;line-height:1.35;margin:.2em 0 .8em}h1::before{content:\"\\25A0\\00A0\";"
    "color:#cf2e1c}body.fine h1::before{content:\"\\25CF\\00A0\";color:#14805e}"
    "h2{font-size:13px;font-weight:600;color:#59636f;margin:1.8em 0 .4em}"
    "p{margin:.3em 0}.run,footer{color:#59636f;font-size:13px}ol,ul{margin:.2em 0;"
    "padding-left:1.5em}table{border-collapse:collapse;width:100%}td,th{text-align:left;"
    "padding:3px 14px 3px 0;vertical-align:top;border-bottom:1px solid #eceef0}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "th{font-weight:400;color:#59636f;font-size:13px}svg{max-width:100%;height:auto;"
    "margin:4px 0 14px;border:1px solid #eceef0}.step{font-variant-numeric:tabular-nums;"
    "color:#59636f;margin-right:.6em}.for{color:#14805e}.against{color:#b57700}"
    "footer{margin-top:2.4em;border-top:1px solid #e2e4e8;padding-top:.6em}"
    "@media print{body{background:#fff;padding:0}svg,tr,li{break-inside:avoid}}";

/* Text as HTML; what is not a character of its own is left out. */
static void print_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        switch (c) {
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        case '&': (void)fputs("&amp;", out); break;
        case '"': (void)fputs("&quot;", out); break;
        default: (void)fputc(c < ' ' ? ' ' : c, out); break;
        }
    }
}

static void print_element(FILE *out, const char *element, const char *text)
{
    (void)fprintf(out, "<%s>", element);
    print_text(out, text);
    (void)fprintf(out, "</%.*s>\n", (int)strcspn(element, " "), element);
}

static void print_chart(const struct report *report, size_t beat, FILE *out)
{
    char id[32];
    struct draw_list *list = draw_create(report->font, 0);
    struct draw_rect all = {0, 0, CHART_WIDTH, CHART_HEIGHT};
    draw_begin(list, all.w, all.h, report->theme->panel);
    report_chart(report, beat, list, draw_inset(all, 8, 6));
    (void)snprintf(id, sizeof id, "c%zu", beat);
    (void)draw_svg_print(list, id, out);
    draw_destroy(list);
}

static void print_beats(const struct report *report, FILE *out)
{
    const struct why_story *story = report->story;
    char step[32];
    int n_charts = 0;
    if (story->n_beats > 0) {
        print_element(out, "h2", "What happened, in order of time");
    }
    for (size_t i = 0; i < story->n_beats; i++) {
        (void)fprintf(out, "<p><span class=\"step\">step %s</span>",
            why_step(story->beats[i].step, step));
        print_text(out, story->beats[i].text);
        (void)fputs("</p>\n", out);
        if (n_charts < REPORT_MAX_CHARTS && report_has_chart(report, i)) {
            print_chart(report, i, out);
            n_charts++;
        }
    }
}

static void print_number(FILE *out, double value, const char *format)
{
    (void)fputs("<td class=\"n\">", out);
    if (isfinite(value)) {
        (void)fprintf(out, strcmp(format, "%") == 0 ? "%.0f&nbsp;%%" : "%.4g", value);
    }
    (void)fputs("</td>", out);
}

static void print_hops(const struct report *report, FILE *out)
{
    const struct why_story *story = report->story;
    if (story->n_hops == 0) {
        return;
    }
    print_element(out, "h2", "From the operand upstream");
    (void)fputs(
        "<table>\n<tr><th>module</th><th>operation</th><th>largest</th><th>in calm</th>"
        "<th>share</th></tr>\n",
        out);
    for (size_t i = 0; i < story->n_hops; i++) {
        const struct why_hop *hop = &story->hops[i];
        (void)fputs("<tr><td>", out);
        print_text(out, hop->module[0] != '\0' ? hop->module : "(none)");
        (void)fputs("</td><td>", out);
        print_text(out, hop->op_name);
        (void)fputs("</td>", out);
        print_number(out, hop->number, "");
        print_number(out, hop->usual, "");
        print_number(out, 100 * hop->share, "%");
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</table>\n", out);
}

static void print_places(const struct report *report, FILE *out)
{
    const struct why_story *story = report->story;
    if (story->n_suspects > 0) {
        print_element(out, "h2", "Where, likeliest first");
        (void)fputs("<ol>\n", out);
        for (size_t i = 0; i < story->n_suspects && i < 4; i++) {
            (void)fputs("<li><b>", out);
            print_text(out, story->suspects[i].module);
            (void)fputs("</b> ", out);
            print_text(out, story->suspects[i].text);
            (void)fputs("</li>\n", out);
        }
        (void)fputs("</ol>\n", out);
    }
    if (story->n_samples > 0 && story->samples[0].is_certain) {
        print_element(out, "h2", "Samples");
        (void)fputs("<ul>\n", out);
        for (size_t i = 0; i < story->n_samples; i++) {
            print_element(out, "li", story->samples[i].text);
        }
        (void)fputs("</ul>\n", out);
    }
}

static void print_verdict(const struct report *report, FILE *out)
{
    const struct why_verdict *verdict = &report->story->verdict;
    print_element(out, "h2", "Why");
    (void)fputs("<p>", out);
    if (verdict->cause != WHY_UNKNOWN) {
        (void)fprintf(out, "%s ", why_sureness_word(verdict->sureness));
    }
    print_text(out, verdict->text);
    (void)fputs("</p>\n<ul>\n", out);
    for (size_t i = 0; i < verdict->n_evidence; i++) {
        const struct why_evidence *evidence = &verdict->evidence[i];
        bool is_for = evidence->cause == verdict->cause && evidence->weight > 0;
        (void)fprintf(out, "<li><span class=\"%s\">%s</span>: ", is_for ? "for" : "against",
            is_for ? "for" : "against");
        print_text(out, evidence->text);
        (void)fputs("</li>\n", out);
    }
    (void)fputs("</ul>\n", out);
}

static void print_list(FILE *out, const char *title, const char *element, size_t n,
    const char (*texts)[WHY_TEXT_BYTES])
{
    if (n == 0) {
        return;
    }
    print_element(out, "h2", title);
    (void)fprintf(out, "<%s>\n", element);
    for (size_t i = 0; i < n; i++) {
        print_element(out, "li", texts[i]);
    }
    (void)fprintf(out, "</%s>\n", element);
}

int report_print_html(const struct report *report, FILE *out)
{
    const struct why_story *story = report->story;
    const struct why_facts *facts = &report->reading->facts;
    bool is_bad = story->answer != WHY_NOTHING;
    char step[32];
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
        out);
    print_text(out, facts->run.name);
    (void)fprintf(out, "</title>\n<style>%s</style>\n</head>\n<body%s>\n<p class=\"run\">",
        style, is_bad ? "" : " class=\"fine\"");
    print_text(out, facts->run.name);
    (void)fprintf(out, ", %s, step %s</p>\n", facts->run.status,
        why_step(facts->run.last_step, step));
    print_element(out, "h1", story->headline);
    if (story->answer == WHY_FROM_PROBE) {
        char words[WHY_TEXT_BYTES] = "";
        why_origin_words(story, words, sizeof words);
        print_element(out, "p", words);
    }
    if (is_bad) {
        print_list(out, "What to try", "ol", story->n_remedies, story->remedies);
    }
    print_beats(report, out);
    print_hops(report, out);
    if (is_bad) {
        print_places(report, out);
        print_verdict(report, out);
    }
    print_list(out, "What would have told more", "ul", story->n_missing, story->missing);
    (void)fputs("<footer>Looked at ", out);
    print_text(out, story->looked);
    (void)fputs(
        ". Made by Barograph " BAROGRAPH_VERSION ".</footer>\n</body>\n</html>\n", out);
    return ferror(out) != 0 ? BARO_EIO : 0;
}
