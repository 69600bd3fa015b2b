export const App: React.FC = () => { return <div>hi</div>; };
function Row<T>(props: T) { return <b/>; }
