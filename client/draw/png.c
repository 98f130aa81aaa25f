/* SPDX-License-Identifier: Apache-2.0 */
#include "client/draw/png.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <png.h>

#include "lib/base/mem.h"

/*
 * libpng reports errors by longjmp. Everything that must be released lives in a struct outside
 * the frame that jumps, and one function sees the jump.
 */

struct save {
    const uint32_t *pixels;
    int w, h;
    FILE *file;
    uint8_t *row;
    char reason[100];
};

static void on_error(png_structp png, png_const_charp reason)
{
    struct save *save = png_get_error_ptr(png);
    (void)snprintf(save->reason, sizeof save->reason, "%s", reason);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp reason)
{
    (void)png;
    (void)reason;
}

static void write_rows(png_structp png, struct save *save)
{
    for (int y = 0; y < save->h; y++) {
        const uint32_t *pixels = save->pixels + (size_t)y * (size_t)save->w;
        for (int x = 0; x < save->w; x++) {
            save->row[3 * x + 0] = (uint8_t)(pixels[x] >> 16);
            save->row[3 * x + 1] = (uint8_t)(pixels[x] >> 8);
            save->row[3 * x + 2] = (uint8_t)pixels[x];
        }
        png_write_row(png, save->row);
    }
}

/* Returns false with save->reason when libpng gave up. */
static bool write_png(struct save *save)
{
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, save, on_error, on_warning);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) {
        png_destroy_write_struct(&png, NULL);
        (void)snprintf(save->reason, sizeof save->reason, "out of memory");
        return false;
    }
    if (setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_init_io(png, save->file);
    png_set_IHDR(png, info, (png_uint_32)save->w, (png_uint_32)save->h, 8,
        PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, 1);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_write_info(png, info);
    write_rows(png, save);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return true;
}

/* Write and flush the temporary file, then move it over the old one. */
static int save_as(
    struct save *save, const char *temp, const char *path, struct baro_err *err)
{
    bool written = write_png(save);
    int flushed = fclose(save->file);
    if (!written) {
        return baro_err_set(err, BARO_EIO, "write picture '%s': %s", path, save->reason);
    }
    if (flushed != 0) {
        return baro_err_set(err, BARO_EIO, "write picture '%s': %s", path, strerror(errno));
    }
    if (rename(temp, path) != 0) {
        return baro_err_set(err, BARO_EIO, "save picture '%s': %s", path, strerror(errno));
    }
    return 0;
}

int png_save(const char *path, const uint32_t *pixels, int w, int h, struct baro_err *err)
{
    size_t bytes = strlen(path) + 16;
    baro_autofree char *temp = baro_xcalloc(bytes, 1);
    (void)snprintf(temp, bytes, "%s.XXXXXX", path);
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        return baro_err_set(
            err, BARO_EIO, "create picture '%s': %s", path, strerror(errno));
    }
    (void)fchmod(fd, 0644);
    struct save save = {.pixels = pixels, .w = w, .h = h, .file = fdopen(fd, "wb")};
    if (save.file == NULL) {
        (void)close(fd);
        (void)unlink(temp);
        return baro_err_set(
            err, BARO_EIO, "create picture '%s': %s", path, strerror(errno));
    }
    baro_autofree uint8_t *row = baro_xcalloc((size_t)w, 3);
    save.row = row;
    int rc = save_as(&save, temp, path, err);
    if (rc != 0) {
        (void)unlink(temp);
    }
    return rc;
}
