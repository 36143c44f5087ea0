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

The rooms, in the order of the lessons: `markov` (02), `schedules` and `forward` (03), `exact` (04), `predictions`,
`models` and `training` (05, and 09 for those that read words), `samplers` (06, 07), `guidance` (08), `editing` (10, 11);
`metrics` says how good samples are. `data` holds the datasets, `pretrained` the weights that come with the package.
`plotting` and `widgets` draw, `page` puts what they drew on the page, `checks` answers exercises. `cli` is the command
`diffusion-tutorial`, `recipes`, `evaluation` and `doctor` do its work, and `files` writes whole files or none. Importing this
module loads none of them.
"""

__version__ = "0.1.0"
