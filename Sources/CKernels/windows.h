// The windows of poolings.
#pragma once

// The part of a window that lies in the image.
#define WINDOW(y, x)                                                                                                   \
  const int top = (int)max(0, (y) * s->stride - s->padding), left = (int)max(0, (x) * s->stride - s->padding);         \
  const int bottom = (int)min(s->height, (y) * s->stride - s->padding + s->kernel_height);                             \
  const int right = (int)min(s->width, (x) * s->stride - s->padding + s->kernel_width)
