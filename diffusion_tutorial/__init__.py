"""Diffusion models, from one dot of Gaussian noise to a picture that no one has seen before.

The notebooks in notebooks/ derive every idea once and then import it from here. One notation everywhere:

| symbol        | code             | meaning                                                                              |
| ------------- | ---------------- | ------------------------------------------------------------------------------------ |
| t, T          | `t`, `T`         | noising steps so far: t = 0 is the clean picture, t = T (1000) is static             |
| x_0, x_t      | `x0`, `x_t`      | clean picture in [-1, 1]; the same after t noising steps                             |
| beta_t        | `beta`           | variance added at step t                                                             |
| alpha_bar_t   | `alpha_bar`      | share of the signal's variance left after t steps; T + 1 entries, alpha_bar[0] == 1  |
| eps, eps_hat  | `eps`, `eps_hat` | the total noise in x_t; the model's guess of it                                      |
| x0_hat        | `x0_hat`         | the clean picture that eps_hat implies                                               |
| w             | `w`              | guidance scale: eps_uncond + w (eps_cond - eps_uncond); w = 1 is no guidance         |

A denoiser is any callable `model(x_t, t, cond=None) -> eps_hat`: x_t (batch, channels, height, width) float, t (batch,)
int64, cond what the model was trained with or None. Samplers drive one, guidance wraps one, tests write one in a line.

The rooms, from the mathematics to the command; each names its lesson:
`markov`, `noise`, `schedules`, `forward`, `exact`, `predictions`: chains, noise, and what is left of a picture in it.
`data`, `models`, `losses`, `jumps`, `training`: pictures, networks, what is minimised, the one loop that does it.
`samplers`, `guidance`, `editing`, `metrics`: from static to a picture, to the one wanted, to a changed one; how good it is.
`bugs`: a small program of all this that can be broken in twelve ways.
`files`, `pictures`, `pretrained`, `progress`: files that are whole or not there, pictures and weights in them, patience.
`hardware`, `memory`, `team`: what a device can do, how much a training needs, several processes that train together.
`plotting`, `page`, `widgets`, `checks`: what the notebooks draw with and put on the page, and what answers exercises.
`run`, `subjects`, `evaluation`, `export`, `doctor`, `cli`: the command `diffusion-tutorial`. A subject is what can be trained,
drawn and judged; a run is what happens around it; an export takes it to diffusers or to ONNX. `threads` is settled below,
before torch is loaded. Importing this module loads no other room.
"""

from diffusion_tutorial import threads

__version__ = "0.1.0"

threads.settle()
