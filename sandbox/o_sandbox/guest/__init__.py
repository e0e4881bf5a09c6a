"""Sources of what runs inside WebAssembly, and how the component is made of them."""
