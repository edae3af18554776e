/* A host that loads the library when it wants it, and lets it go. late LIBRARY TIMES */
#define _GNU_SOURCE
#include <lastlight.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_mapped(const char *library) {
  char line[512];
  int found = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && fgets(line, sizeof line, maps)) found |= strstr(line, library) != NULL;
  if (maps != NULL) fclose(maps);
  return found;
}

static int once(const char *path, int time) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  lastlight_result (*open)(const lastlight_options *, lastlight **);
  lastlight_result (*submit)(lastlight *, uint32_t, const lastlight_pair *, size_t, const uint8_t *, size_t);
  lastlight_result (*flush)(lastlight *, uint32_t);
  lastlight_result (*close)(lastlight *, uint32_t, lastlight_counts_t *);
  void (*release)(lastlight *);
  *(void **)&open = dlsym(library, "lastlight_open");
  *(void **)&submit = dlsym(library, "lastlight_submit");
  *(void **)&flush = dlsym(library, "lastlight_flush");
  *(void **)&close = dlsym(library, "lastlight_close");
  *(void **)&release = dlsym(library, "lastlight_free");
  /* Each from an agent of its own: the same name and tags in the same second would count once at the backend. */
  char metric[64];
  snprintf(metric, sizeof metric, "late.loaded:1|c|#time:%d", time);
  lastlight *agent = NULL;
  int failed = open(NULL, &agent) != LASTLIGHT_OK;
  failed |= submit(agent, LASTLIGHT_DOGSTATSD, NULL, 0, (const uint8_t *)metric, strlen(metric)) != LASTLIGHT_OK;
  failed |= flush(agent, 10000) != LASTLIGHT_OK;
  failed |= close(agent, 10000, NULL) != LASTLIGHT_OK;
  release(agent);
  failed |= dlclose(library) != 0;
  return failed;
}

int main(int argc, char **argv) {
  if (argc < 3) return 64;
  for (int time = 0; time < atoi(argv[2]); time++) {
    if (once(argv[1], time)) {
      fprintf(stderr, "failed at time %d\n", time);
      return 1;
    }
  }
  printf("%s\n", is_mapped(argv[1]) ? "stays" : "gone");
  return 0;
}
