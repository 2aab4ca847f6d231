#ifndef SERVICE_API_PAGE_H
#define SERVICE_API_PAGE_H

/*
 * page.h - lists: ?limit=&cursor= in, {"items": [...], "next_cursor": ...} out.
 *
 * A list that is walked by a rising number (attempt, step, seq) asks the store for one row more than
 * the page holds; page_takes() counts, and the row too many only says that there is a next page.
 */

#include "service/api/api.h"
#include "service/api/out.h"

#define PAGE_LIMIT_MAX    1000
#define PAGE_CURSOR_BYTES 128

struct page {
    size_t limit;
    const char *cursor; /* NULL: the beginning; borrowed from the request */
};

/* False: replied. */
MUST_CHECK bool page_take(struct http_request *request, struct page *out);
/* Replies that no answer ever gave this cursor; false. */
bool page_refuse_cursor(struct http_request *request, const char *cursor);
void page_open(struct out *out);
void page_close(struct out *out, const char *next_cursor); /* "" is null */

struct page_writer {
    struct out out;
    size_t limit;
    int64_t after; /* the cursor as a number; 0: the beginning */
    size_t count;
    int64_t last;
    bool more;
};

/* For lists by number; opens the document. False: replied. */
MUST_CHECK bool page_begin(struct http_request *request, struct buf *body, struct page_writer *out);
bool page_takes(struct page_writer *page, int64_t key);
/* Closes the document and replies, with the error if there is one. */
void page_end(struct http_request *request, struct page_writer *page, enum status status,
              const struct error *err);

/* The same for lists by name or id: `keep` holds the last key. */
struct name_page {
    struct out out;
    size_t limit;
    char after[PAGE_CURSOR_BYTES];
    size_t count;
    char last[PAGE_CURSOR_BYTES];
    bool more;
};
MUST_CHECK bool name_page_begin(struct http_request *request, struct buf *body,
                                struct name_page *out);
bool name_page_takes(struct name_page *page, const char *key);
void name_page_end(struct http_request *request, struct name_page *page, enum status status,
                   const struct error *err);

#endif
