// SPDX-License-Identifier: Apache-2.0

// Chooses the theme before anything is drawn.
'use strict';
{
  let theme = null;
  try { theme = localStorage.getItem('remora.theme'); } catch { /* storage is turned off */ }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}
