#include <stdio.h>
#include <stdlib.h>
#include "store.h"

#define MOST_ITEMS 64

/* One thing for sale. */
struct item {
    const char *name;
    double price;
    int count;
};

enum size { SMALL, LARGE };

static struct item items[MOST_ITEMS];
static size_t item_count = 0;

static struct item *find(const char *name)
{
    for (size_t i = 0; i < item_count; i++) {
        if (strcmp(items[i].name, name) == 0) {
            return &items[i];
        }
    }
    return NULL;
}

double sell(const char *name, int count)
{
    struct item *item = find(name);
    if (item == NULL || item->count < count) {
        fprintf(stderr, "no %s\n", name);
        return -1;
    }
    item->count -= count;
    // Many are cheaper.
    return item->price * count * (count > 10 ? 0.9 : 1.0);
}

int main(int argc, char **argv)
{
    char line[256];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        switch (line[0]) {
        case '#':
            break;
        default:
            printf("%f\n", sell(line, 1));
        }
    }
    return 0;
}
