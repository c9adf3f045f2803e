-- The server's configuration, where Neovim 0.11 and newer look for it; vim.lsp.config('fimble', …) adds to it.

return require('fimble.client').config()
