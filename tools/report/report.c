/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baro report: a program of its own, baro-report, that has all of baro's commands and draws this one;
 * so baro itself needs no font and no display library.
 */
#include "tools/report/report.h"

#include <stdlib.h>

#include "client/draw/draw_raster.h"
#include "client/draw/draw_vector.h"
#include "client/draw/png.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "tools/out_file.h"
#include "tools/report_format.h"

/* A4 at 96 pixels an inch. */
static const float PAPER_W = 794;
static const float PAPER_H = 1123;
static const float PICTURE_W = 900;
static const float PICTURE_SCALE = 2;

static int save_png(struct report *report, const char *path, struct baro_err *err)
{
    struct draw_list *lists[REPORT_MAX_PAGES];
    (void)report_lay_out(report, PICTURE_W, 0, lists);
    struct draw_rect frame = draw_frame(lists[0]);
    float scale = font_scale(report->font);
    int w = (int)(frame.w * scale);
    int h = (int)(frame.h * scale);
    struct raster *raster = raster_create(w, h < 16384 ? h : 16384);
    (void)raster_draw(raster, lists[0], NULL, 0);
    int rc = png_save(path, raster_pixels(raster), w, raster_h(raster), err);
    raster_destroy(raster);
    draw_destroy(lists[0]);
    return rc;
}

static int print_pdf(const struct report *report, FILE *out)
{
    struct draw_list *lists[REPORT_MAX_PAGES];
    size_t n = report_lay_out(report, PAPER_W, PAPER_H, lists);
    int rc = draw_pdf_print(
        (const struct draw_list *const *)lists, n, report->reading->facts.run.name, out);
    for (size_t i = 0; i < n; i++) {
        draw_destroy(lists[i]);
    }
    return rc;
}

static int save_text(const struct report *report, enum report_format format,
    const char *path, struct baro_err *err)
{
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (memory == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "write '%s': out of memory", path);
    }
    int rc = format == REPORT_PDF ? print_pdf(report, memory)
                                  : report_print_html(report, memory);
    bool is_whole = fclose(memory) == 0 && rc == 0;
    struct out_file file = {0};
    rc = is_whole ? out_open(path, true, &file, err) : BARO_ENOMEM;
    if (rc == 0) {
        out_write(&file, text, n);
        rc = out_finish(&file, err);
    }
    out_drop(&file);
    free(text);
    return rc;
}

static int save(const struct why_reading *reading, const struct why_story *story,
    enum report_format format, const char *path)
{
    struct baro_err err = {0};
    struct report report = {.reading = reading, .story = story, .theme = &theme_light};
    report.font = font_open(format == REPORT_PNG ? PICTURE_SCALE : 1, &err);
    if (report.font == NULL && format == REPORT_PNG) {
        return cli_fail_err(&err);
    }
    if (report.font == NULL) { /* only widths are needed */
        report.font = font_open_fixed(1);
    }
    err = (struct baro_err){0};
    int rc = format == REPORT_PNG ? save_png(&report, path, &err)
                                  : save_text(&report, format, path, &err);
    font_close(report.font);
    return rc == 0 ? CLI_OK : cli_fail_err(&err);
}

int cmd_report(struct cli *cli)
{
    enum report_format format;
    int rc = report_format_of(cli, &format);
    if (rc != CLI_OK) {
        return rc;
    }
    struct why_reading reading;
    rc = why_read_begin(
        cli, cli->n_arguments > 0 ? cli->arguments[0] : NULL, cli->values.step, &reading);
    if (rc == CLI_OK) {
        rc = why_read_rest(&reading);
    }
    if (rc == CLI_OK) {
        baro_autofree struct why_story *story = baro_xcalloc(1, sizeof *story);
        why_tell(&reading.facts, story);
        rc = save(&reading, story, format, cli->values.output);
    }
    why_read_finish(&reading);
    return rc;
}
