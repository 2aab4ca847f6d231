#ifndef SERVICE_STORE_MIGRATE_H
#define SERVICE_STORE_MIGRATE_H

/*
 * migrate.h - private to service/store: brings a database to this program's version.
 *
 * Migrations are the files of schema/migrations, embedded in the binary and applied in order, each in a
 * transaction with PRAGMA user_version. A file that was released is never changed; a change is a new
 * file and a new line in migrate.c. A database of a newer program is refused.
 */

#include "service/store/sql.h"

enum migrate_which { MIGRATE_STATE, MIGRATE_TELEMETRY };

/* STATUS_UNSUPPORTED for a newer database. `path` is for the text. */
MUST_CHECK enum status migrate(sqlite3 *db, enum migrate_which which, const char *path,
                               struct error *err);
/* The version that this program brings a database to. */
int migrate_version(enum migrate_which which);

#endif
