#include "../harts/start.S"
