/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Words and lines of the small text formats that packages bring: sysusers.d, presets, tmpfiles.d,
 * unit files, maintainer scripts. */

#include "strv.h"

enum { TEXT_FILE_MAX = 4 * 1024 * 1024, TEXT_WORDS_MAX = 4096 };

/* Splits at blanks. 'x' and "x" quote, a backslash takes the next byte as it is (in '' it is an
 * ordinary byte). -EINVAL for a quote that does not end and for more words than TEXT_WORDS_MAX. */
int text_words(const char *line, char ***ret, struct error *err) _must_check_;

/* Lines without their '\n', without blanks at both ends, and without empty lines and comments
 * (which start with one of the bytes in `comments`). */
int text_lines(const char *text, const char *comments, char ***ret, struct error *err) _must_check_;

/* A shell script's logical lines: backslash-newline joined, comments and the bodies of
 * here-documents left out. No shell is understood beyond that. */
int text_script_lines(const char *text, char ***ret, struct error *err) _must_check_;

/* Adds KEY=value as os-release(5) wants it: quoted when a shell would want that. */
void text_assignment(struct buffer *b, const char *key, const char *value);
