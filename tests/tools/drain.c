/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* drain: reads its input to the end, as a relabelling tool does, and does nothing with it. In the
 * place of a script, whose shell would be a good part of what is measured. */

#include <unistd.h>

int main(void)
{
        char chunk[4096];
        ssize_t n;

        do
                n = read(STDIN_FILENO, chunk, sizeof(chunk));
        while (n > 0);
        return n < 0;
}
