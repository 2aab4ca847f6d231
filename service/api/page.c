#include "service/api/page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool page_refuse_cursor(struct http_request *request, const char *cursor)
{
    http_reply_problem(request, 400, "bad_query",
                       "query cursor: expected what an answer's next_cursor said, got \"%.64s\"",
                       cursor);
    return false;
}

bool page_take(struct http_request *request, struct page *out)
{
    int64_t limit = API_PAGE_DEFAULT;
    if (!http_query_int(request, "limit", 1, PAGE_LIMIT_MAX, &limit))
        return false;
    const char *cursor = http_query(request, "cursor");
    if (cursor != NULL && (cursor[0] == '\0' || strlen(cursor) >= PAGE_CURSOR_BYTES))
        return page_refuse_cursor(request, cursor);
    *out = (struct page){.limit = (size_t)limit, .cursor = cursor};
    return true;
}

void page_open(struct out *out)
{
    out_open_object(out, NULL);
    out_open_array(out, "items");
}

void page_close(struct out *out, const char *next_cursor)
{
    out_close_array(out);
    out_text_or_null(out, "next_cursor", next_cursor);
    out_close_object(out);
}

bool page_begin(struct http_request *request, struct buf *body, struct page_writer *out)
{
    struct page page;
    if (!page_take(request, &page))
        return false;
    *out = (struct page_writer){.out = out_to(body), .limit = page.limit};
    if (page.cursor != NULL) {
        char *end = NULL;
        errno = 0;
        out->after = strtoll(page.cursor, &end, 10);
        if (errno != 0 || *end != '\0' || out->after < 0)
            return page_refuse_cursor(request, page.cursor);
    }
    page_open(&out->out);
    return true;
}

bool page_takes(struct page_writer *page, int64_t key)
{
    page->more = page->count == page->limit;
    if (page->more)
        return false;
    page->count++;
    page->last = key;
    return true;
}

static void reply(struct http_request *request, struct out *out, const char *cursor,
                  enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        http_reply_error(request, err);
        return;
    }
    page_close(out, cursor);
    http_reply_buf(request, 200, "application/json", out->buf);
}

void page_end(struct http_request *request, struct page_writer *page, enum status status,
              const struct error *err)
{
    char cursor[32] = "";
    /* A full page of the store's own maximum hides whether there is more: say so, at worst in vain. */
    if (page->more || page->count == PAGE_LIMIT_MAX)
        snprintf(cursor, sizeof(cursor), "%lld", (long long)page->last);
    reply(request, &page->out, cursor, status, err);
}

bool name_page_begin(struct http_request *request, struct buf *body, struct name_page *out)
{
    struct page page;
    if (!page_take(request, &page))
        return false;
    *out = (struct name_page){.out = out_to(body), .limit = page.limit};
    if (page.cursor != NULL)
        snprintf(out->after, sizeof(out->after), "%s", page.cursor);
    page_open(&out->out);
    return true;
}

bool name_page_takes(struct name_page *page, const char *key)
{
    page->more = page->count == page->limit;
    if (page->more)
        return false;
    page->count++;
    snprintf(page->last, sizeof(page->last), "%s", key);
    return true;
}

void name_page_end(struct http_request *request, struct name_page *page, enum status status,
                   const struct error *err)
{
    reply(request, &page->out, page->more || page->count == PAGE_LIMIT_MAX ? page->last : "",
          status, err);
}
