// The page of `moescope report`.
